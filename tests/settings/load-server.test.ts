import { symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadServerSettings } from "../../src/settings/load-server.ts";
import { formatProblem, SettingsError } from "../../src/settings/problems.ts";
import { packageVersion } from "../../src/settings/server.ts";
import { Files } from "../support/files.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

type Variables = Record<string, string>;
const load = (env: Variables = {}, flags: Record<string, unknown> = {}, file?: string) =>
  loadServerSettings({ cwd: files.root, env, flags, file });

/** The settings when settings.json holds `content`. */
async function withFile(content: string | object, env: Variables = {}, flags: Record<string, unknown> = {}) {
  await files.write("settings.json", content);
  return load(env, flags);
}

async function refusal(loading: Promise<unknown>): Promise<string> {
  const error = await loading.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(SettingsError);
  return (error as SettingsError).message;
}

const warningsOf = ({ warnings }: Awaited<ReturnType<typeof load>>) =>
  warnings.map((warning) => formatProblem(warning, files.root));

describe("defaults", () => {
  it("are MLServer's, on loopback", async () => {
    const { settings, sources, warnings, raw, file } = await load();
    expect(settings).toMatchObject({
      host: "127.0.0.1",
      http_port: 8080,
      grpc_port: 8081,
      metrics_port: 8082,
      metrics_endpoint: "/metrics",
      metrics_rest_server_prefix: "rest_server",
      grpc_max_message_length: 67_108_864,
      max_body_bytes: 67_108_864,
      drain_timeout: 30_000,
      repository_poll: 5000,
      grpc_keepalive_time: 7_200_000,
      log_level: "info",
      readiness: "all",
      load_concurrency: 2,
      parallel_workers: 1,
      debug: false,
      tls: null,
      cors_settings: null,
      server_name: "capstan",
      server_version: packageVersion(),
      model_repository_root: files.root,
      cache_dir: join(homedir(), ".cache/capstan"),
    });
    expect({ sources, warnings, raw, file }).toEqual({ sources: {}, warnings: [], raw: {}, file: undefined });
  });
});

describe("precedence", () => {
  const everywhere = { CAPSTAN_HTTP_PORT: "4", MLSERVER_HTTP_PORT: "3", PORT: "2" };

  it("is flag, CAPSTAN_*, MLSERVER_*, bare name, file, default", async () => {
    const portWith = async (env: Variables, flags = {}) =>
      (await withFile({ http_port: 1 }, env, flags)).settings.http_port;
    const { CAPSTAN_HTTP_PORT: _, ...withoutOwn } = everywhere;
    expect(await portWith(everywhere, { http_port: "5" })).toBe(5);
    expect(await portWith(everywhere, { http_port: undefined })).toBe(4);
    expect(await portWith(withoutOwn)).toBe(3);
    expect(await portWith({ PORT: "2" })).toBe(2);
    expect(await portWith({})).toBe(1);
  });

  it("is told for each key, the winner first", async () => {
    const { sources } = await withFile('{\n  "http_port": 1 }', everywhere, { http_port: 5 });
    expect(sources).toEqual({
      http_port: ["--http-port", "CAPSTAN_HTTP_PORT", "MLSERVER_HTTP_PORT", "PORT", "settings.json:2:3"],
    });
  });

  it("lets the real environment win over .env", async () => {
    await files.write(".env", "CAPSTAN_HTTP_PORT=7\nCAPSTAN_SERVER_NAME='from file'\nSECRET=s\n");
    const { settings, env } = await load({ CAPSTAN_HTTP_PORT: "8" });
    expect(settings).toMatchObject({ http_port: 8, server_name: "from file" });
    expect(env.SECRET).toBe("s");
  });

  it("refuses a .env that cannot be read", async () => {
    await symlink(files.path(".env"), files.path(".env"));
    expect(await refusal(load())).toMatch(/\.env: cannot be read: ELOOP/);
  });
});

describe("bare names", () => {
  it.each([
    ["0.0.0.0", "0.0.0.0"],
    ["::1", "::1"],
    ["localhost", "localhost"],
    ["my-laptop", "127.0.0.1"],
    ["", "127.0.0.1"],
  ])("HOST=%s listens on %s", async (HOST, host) => {
    expect((await load({ HOST })).settings.host).toBe(host);
  });

  it.each([
    ["DEBUG", "debug"],
    ["Warning", "warn"],
    ["error", "error"],
  ])("LOG_LEVEL=%s is %s", async (LOG_LEVEL, level) => {
    expect((await load({ LOG_LEVEL })).settings.log_level).toBe(level);
  });

  it("DEFAULT_MODEL is the model of requests that name none", async () => {
    expect((await load({ DEFAULT_MODEL: "tiny-chat" })).settings.default_model).toBe("tiny-chat");
    expect((await load({ DEFAULT_MODEL: "" })).settings.default_model).toBeNull();
  });

  it("METRICS_ENABLED=false turns metrics off", async () => {
    expect((await load({ METRICS_ENABLED: "False" })).settings.metrics_endpoint).toBeNull();
    expect((await load({ METRICS_ENABLED: "true" })).settings.metrics_endpoint).toBe("/metrics");
  });
});

describe("values in variables", () => {
  it("are JSON for objects, lists and null, and may name a field inside", async () => {
    const { settings } = await load({
      CAPSTAN_CORS_SETTINGS: '{"allow_origins": ["*"], "max_age": "60"}',
      MLSERVER_EXTENSIONS: '["one"]',
      CAPSTAN_METRICS_ENDPOINT: "null",
      CAPSTAN_TLS__CERT: "cert.pem",
      CAPSTAN_TLS__KEY: "/keys/key.pem",
      CAPSTAN_SERVER_NAME: "{odd",
    });
    expect(settings.cors_settings).toMatchObject({
      allow_origins: ["*"],
      max_age: 60,
      allow_methods: ["GET"],
    });
    expect(settings).toMatchObject({ extensions: ["one"], metrics_endpoint: null, server_name: "{odd" });
    expect(settings.tls).toEqual({ cert: files.path("cert.pem"), key: "/keys/key.pem" });
  });

  it("name the variable when they are wrong", async () => {
    expect(await refusal(load({ CAPSTAN_HTTP_PORT: "many" }))).toBe(
      "CAPSTAN_HTTP_PORT (http_port): expected number, received string",
    );
  });

  it("ignore what Kubernetes sets for a service of that name", async () => {
    const loaded = await load({
      CAPSTAN_HTTP_PORT: "tcp://10.0.0.1:80",
      CAPSTAN_PORT: "tcp://10.0.0.1:80",
      CAPSTAN_SERVICE_HOST: "10.0.0.1",
      CAPSTAN_SERVICE_PORT_HTTP: "80",
      CAPSTAN_PORT_80_TCP_ADDR: "10.0.0.1",
    });
    expect(loaded.settings.http_port).toBe(8080);
    expect(warningsOf(loaded)).toEqual([
      expect.stringContaining("CAPSTAN_HTTP_PORT: is the address of a Kubernetes service"),
      expect.stringContaining("CAPSTAN_PORT: is the address"),
    ]);
  });

  it("warn about a variable that is no setting", async () => {
    const loaded = await load({
      CAPSTAN_HTPP_PORT: "1",
      MLSERVER_HTTP_PROT: "1",
      MLSERVER_MODELS_DIR: "/mnt/models",
      MLSERVER_MODEL_NAME: "x",
    });
    expect(warningsOf(loaded)).toEqual([
      'CAPSTAN_HTPP_PORT: is no setting; did you mean "CAPSTAN_HTTP_PORT"?',
      'MLSERVER_HTTP_PROT: is no setting; did you mean "MLSERVER_HTTP_PORT"?',
    ]);
  });
});

describe("settings.json", () => {
  it("of MLServer is taken with its text numbers", async () => {
    const { settings, warnings } = await withFile({
      debug: "true",
      host: "0.0.0.0",
      http_port: "9000",
      grpc_max_message_length: null,
      cache_enabled: false,
      cors_settings: { allow_origins: ["*"], allow_origin_regex: null },
      $schema: "x",
    });
    expect(settings).toMatchObject({ debug: true, http_port: 9000, grpc_max_message_length: 67_108_864 });
    expect(warnings).toEqual([]);
  });

  it("may hold a key that nobody knows: a warning with the nearest one", async () => {
    const loaded = await withFile(
      '{\n  "http_port": 1,\n    "http_prot": 2, "cors_settings": {"allow_origin": []}\n}',
    );
    expect(loaded.settings.http_port).toBe(1);
    expect(warningsOf(loaded).sort()).toEqual([
      'settings.json:3:39 cors_settings.allow_origin: unknown key; did you mean "allow_origins"?',
      'settings.json:3:5 http_prot: unknown key; did you mean "http_port"?',
    ]);
  });

  it.each([
    ["http_port", 70_000, "expected number to be <=65535"],
    ["http_port", 1.5, "expected int, received number"],
    [
      "drain_timeout",
      30,
      'must be a time with its unit, such as "500ms", "30s" or "5m" (at most 24d), or "0"',
    ],
    ["drain_timeout", "30", "must be a time with its unit"],
    ["drain_timeout", "60d", "at most 24d"],
    ["readiness", "some", 'expected one of "all"|"settled"'],
    ["log_level", "loud", 'must be "debug"'],
    ["root_path", "x", 'must be "" or start with "/"'],
    ["tls", { cert: "c" }, "expected string, received undefined"],
    ["cors_settings", { allow_origin_regex: "(" }, "is not a regular expression"],
    ["host", "", "expected string to have >=1 characters"],
  ])("refuses %s = %j", async (key, value, message) => {
    const text = await refusal(withFile({ [key]: value }));
    expect(text).toContain(`settings.json:1:`);
    expect(text).toContain(key);
    expect(text).toContain(message);
  });

  it.each([
    ["drain_timeout", "0", 0],
    ["drain_timeout", 0, 0],
    ["repository_poll", "1.5s", 1500],
    ["grpc_keepalive_timeout", "5m", 300_000],
    ["root_path", "/a/b/", "/a/b"],
    ["grpc_max_message_length", -1, -1],
  ])("reads %s = %j as %j", async (key, value, wanted) => {
    expect((await withFile({ [key]: value })).settings).toHaveProperty(key, wanted);
  });

  it("lists every error at once, and keeps the warnings with them", async () => {
    const loading = withFile({ http_port: "x", readiness: 1, hots: "" });
    expect((await refusal(loading)).split("\n")).toHaveLength(2);
    await expect(loading).rejects.toMatchObject({ problems: { length: 3 } });
  });

  it("takes variables, and is shown without their values", async () => {
    const { settings, raw } = await withFile({ server_name: "${WHO}", http_port: "${P:-81}" }, { WHO: "me" });
    expect(settings).toMatchObject({ server_name: "me", http_port: 81 });
    expect(raw).toEqual({ server_name: "${WHO}", http_port: "${P:-81}" });
    expect(await refusal(withFile({ server_name: "${WHO}" }))).toMatch(
      /^settings.json:1:2 server_name: .*WHO/,
    );
  });

  it("warns about keys that have no effect here", async () => {
    const loaded = await withFile({
      kafka_topic_input: null,
      kafka_enabled: true,
      environments_dir: "/e",
      logging_settings: { version: 1 },
    });
    const warnings = warningsOf(loaded).join("\n");
    expect(loaded.warnings).toHaveLength(3);
    expect(warnings).toMatch(/kafka_enabled: has no effect: .*HTTP or gRPC/);
    expect(warnings).toMatch(/environments_dir: .*"remote"/);
    expect(warnings).toMatch(/logging_settings: .*set log_level/);
  });
});

describe("which file, and paths in it", () => {
  it("is the given one, which must exist", async () => {
    await files.write("conf/my.json", {
      tls: { cert: "c.pem", key: "~/k.pem", client_ca: "ca.pem" },
      cache_dir: "c",
    });
    const { settings, file } = await load({}, {}, "conf/my.json");
    expect(file).toBe(files.path("conf/my.json"));
    expect(settings).toMatchObject({
      tls: {
        cert: files.path("conf/c.pem"),
        key: join(homedir(), "k.pem"),
        client_ca: files.path("conf/ca.pem"),
      },
      cache_dir: files.path("conf/c"),
      model_repository_root: files.root,
    });
    expect(await refusal(load({}, {}, "conf/none.json"))).toMatch(
      /conf\/none.json:1:1: cannot be read: ENOENT/,
    );
  });

  it("is that of the repository before that of the working directory", async () => {
    await files.write("settings.json", { http_port: 1 });
    const flags = { model_repository_root: "models" };
    expect((await load({}, flags)).settings.http_port).toBe(1);
    await files.write("models/settings.json", { http_port: 2, model_repository_root: "ignored" });
    const { settings } = await load({}, flags);
    expect(settings).toMatchObject({ http_port: 2, model_repository_root: files.path("models") });
  });
});
