import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import mlflow from "../../resolvers/mlflow/index.ts";
import { parseUri } from "../../resolvers/mlflow/uri.ts";
import { resolverContract, testHost } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { FakeMlflow } from "./support/fake-mlflow.ts";
import { fetchingHost, fetchWith, locateWith } from "./support/fetching-host.ts";
import { cutAfter, json, status } from "./support/file-server.ts";

let registry: FakeMlflow;

beforeEach(async () => {
  registry = await FakeMlflow.start();
  registry.files = { "1/model.onnx": "one", "1/more/notes é.txt": "text", "2/model.onnx": "two" };
});
afterEach(() => registry[Symbol.asyncDispose]());

const API = "/api/2.0/mlflow";
const locate = (uri: string, options: Record<string, unknown> = {}) =>
  locateWith(mlflow, uri, { registry: registry.registry, ...options });
const fetched = (uri: string, options: Record<string, unknown> = {}, host = fetchingHost) =>
  fetchWith(mlflow, uri, { registry: registry.registry, ...options }, host);

describe("contract for a registered model", () => {
  const cases = resolverContract(mlflow, {
    get options() {
      return { registry: registry?.registry ?? "http://127.0.0.1:1" };
    },
    host: fetchingHost,
    uri: () => "models:/iris@champion",
    files: { "model.onnx": "one", "more/notes é.txt": "text" },
    missing: () => "models:/iris@nobody",
    malformed: () => "models:iris",
    broken: () => {
      registry.overrides.set(`${API}/registered-models/alias`, status(200, {}, "<html>"));
      return "models:/iris@champion";
    },
    change: async () => {
      registry.alias = "2";
    },
  });
  for (const { name, run } of cases) it(name, run);
});

describe("contract for artifacts", () => {
  const cases = resolverContract(mlflow, {
    get options() {
      return { registry: registry?.registry ?? "http://127.0.0.1:1", username: "me", password: "secret" };
    },
    host: fetchingHost,
    uri: () => "mlflow-artifacts:/1",
    files: { "model.onnx": "one", "more/notes é.txt": "text" },
    missing: () => "mlflow-artifacts:/absent",
    malformed: () => "mlflow-artifacts:/a/../b",
    change: async () => {
      registry.files["1/model.onnx"] = "two";
    },
  });
  for (const { name, run } of cases) it(name, run);
});

it.each([
  ["models:/a b@c", { kind: "alias", name: "a b", alias: "c" }],
  ["models:/a/03", { kind: "version", name: "a", version: "3" }],
  ["models:/a/Latest", { kind: "latest", name: "a" }],
  ["models:/a/Staging", { kind: "stage", name: "a", stage: "Staging" }],
  [`models:/m-${"0".repeat(32)}`, { kind: "logged", model: `m-${"0".repeat(32)}` }],
  ["runs:/ab1", { kind: "run", run: "ab1", path: "" }],
  ["runs:/ab1/model/", { kind: "run", run: "ab1", path: "model" }],
  ["mlflow-artifacts://host:1/a", { kind: "artifacts", uri: "mlflow-artifacts://host:1/a" }],
])("reads %s", (uri, asked) => {
  expect(parseUri(uri)).toEqual(asked);
});

it.each([
  "models:/",
  "models://profile/a/1",
  "models:/a",
  "models:/a@b@c",
  "models:/a/1/b",
  "runs:/",
  "runs:/a/../b",
  "mlflow-artifacts:x",
])("refuses %s", (uri) => {
  expect(() => parseUri(uri)).toThrow("It reads models:/name@alias");
});

describe("which version", () => {
  it("is the highest of a stage, and of all", async () => {
    const versions = [{ version: "9" }, { version: "10" }];
    registry.overrides.set(
      `${API}/registered-models/get-latest-versions`,
      json({ model_versions: versions }),
    );
    expect(await locate("models:/iris/Production")).toMatchObject({
      version: "10",
      location: "models:/iris/10",
    });
    expect(await locate("models:/iris/latest")).toMatchObject({ version: "10" });
    registry.overrides.set(`${API}/registered-models/get-latest-versions`, json({}));
    await expect(locate("models:/iris/Staging")).rejects.toThrow("no version in the stage 'Staging'");
    await expect(locate("models:/iris/latest")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("is not taken before it is READY", async () => {
    registry.status = "PENDING_REGISTRATION";
    await expect(locate("models:/iris/1")).rejects.toMatchObject({
      code: "NOT_READY",
      message: "Version 1 of 'iris' is PENDING_REGISTRATION in the registry",
    });
  });

  it.each([{}, { model_version: {} }])("is UPSTREAM's fault where it is not said: %j", async (answer) => {
    registry.overrides.set(`${API}/model-versions/get`, json(answer));
    await expect(locate("models:/iris/1")).rejects.toMatchObject({ code: "UPSTREAM" });
  });
});

describe("who asks", () => {
  it("sends a token to the registry, also for files", async () => {
    await fetched("models:/iris@champion", { token: "secret" });
    for (const { headers } of registry.server.requests) expect(headers.authorization).toBe("Bearer secret");
  });

  it("may have its name and password in the address, as in MLflow's own client", async () => {
    const address = new URL(registry.registry);
    Object.assign(address, { username: "ann", password: "p@ss" });
    expect(await locateWith(mlflow, "models:/iris/1", { registry: address.href })).toMatchObject({
      version: "1",
    });
    const basic = `Basic ${Buffer.from("ann:p@ss").toString("base64")}`;
    expect(registry.server.requests.at(-1)!.headers.authorization).toBe(basic);
    registry.overrides.set(`${API}/model-versions/get`, status(200, {}, "<html>"));
    const strange = await locateWith(mlflow, "models:/iris/1", { registry: address.href }).catch(String);
    expect(strange).toMatch(/answered 200 and no JSON/);
    expect(strange).not.toMatch(/p(@|%40)ss/);
  });

  it("says what to check", async () => {
    const denied = { error_code: "PERMISSION_DENIED", message: "no" };
    registry.overrides.set(`${API}/model-versions/get`, json(denied, 403));
    await expect(locate("models:/iris/1")).rejects.toThrow("answered 403 PERMISSION_DENIED: no. Check token");
    registry.overrides.set(`${API}/model-versions/get`, status(401, {}, "You are not authenticated."));
    await expect(locate("models:/iris/1")).rejects.toThrow("answered 401 and no JSON. Check token");
  });

  it("takes the address from the environment, and says where else it may stand", async () => {
    vi.stubEnv("MLFLOW_TRACKING_URI", registry.registry);
    expect(await locateWith(mlflow, "models:/iris/1", {})).toMatchObject({ version: "1" });
    vi.stubEnv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db");
    const missing = locateWith(mlflow, "models:/iris/1", {});
    await expect(missing).rejects.toThrow(
      "source.registry, such as http://mlflow:5000; the environment has 'sqlite:",
    );
    vi.stubEnv("MLFLOW_TRACKING_URI", "postgresql://ann:p4ss@host/mlflow");
    const database = locateWith(mlflow, "models:/iris/1", {});
    await expect(database).rejects.toThrow("the environment has 'postgresql://host/mlflow'");
    vi.unstubAllEnvs();
  });

  it("wants one way to authenticate", () => {
    expect(mlflow.options.safeParse({ token: "a", username: "b" }).success).toBe(false);
  });
});

describe("a registry with faults", () => {
  const path = `${API}/model-versions/get`;

  it("answers UPSTREAM for one that is slow, cut, broken or gone", async () => {
    registry.overrides.set(path, () => {});
    await expect(locate("models:/iris/1", { timeout: "50ms" })).rejects.toThrow("no answer in time");
    registry.overrides.set(path, cutAfter(3, Buffer.from('{"model_version": {}}')));
    await expect(locate("models:/iris/1")).rejects.toMatchObject({ code: "UPSTREAM" });
    registry.overrides.set(path, json({ error_code: "INTERNAL_ERROR", message: "broken" }, 500));
    await expect(locate("models:/iris/1")).rejects.toThrow("answered 500 INTERNAL_ERROR: broken");
    const gone = locate("models:/iris/1", { registry: "http://127.0.0.1:1" });
    await expect(gone).rejects.toMatchObject({ code: "UPSTREAM" });
  });

  it.each(["../evil", "/etc/passwd", "a/../../b", ""])("refuses a listing with '%s'", async (name) => {
    registry.overrides.set(
      "/api/2.0/mlflow-artifacts/artifacts",
      json({ files: [{ path: name, is_dir: false }] }),
    );
    await expect(fetched("models:/iris@champion")).rejects.toThrow("which is no path below");
  });

  it("stops at max_files", async () => {
    await expect(fetched("models:/iris@champion", { max_files: 1 })).rejects.toThrow("more than 1 files");
  });

  it("fails when one file does", async () => {
    registry.overrides.set("/api/2.0/mlflow-artifacts/artifacts/1/model.onnx", status(500));
    await expect(fetched("models:/iris@champion")).rejects.toMatchObject({ code: "UPSTREAM" });
  });

  it("does not ask another server with its credentials", async () => {
    registry.artifactUri = "mlflow-artifacts://elsewhere/1";
    await expect(fetched("models:/iris@champion")).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});

describe("where the artifacts are", () => {
  it("takes one file", async () => {
    expect(await fetched("mlflow-artifacts:/2/model.onnx")).toEqual({ "model.onnx": "two" });
  });

  it("reads another store with its own options", async () => {
    registry.artifactUri = "s3://bucket/iris";
    const asked: unknown[] = [];
    const host = testHost({
      fetch: async (uri, _directory, _call, options) => void asked.push([uri, options]),
    });
    await fetched("models:/iris/1", { storage: { region: "eu-west-1" } }, host);
    expect(asked).toEqual([["s3://bucket/iris", { region: "eu-west-1" }]]);
  });

  it("reads a plain path of this machine", async () => {
    await using disk = await Files.create({ "model.onnx": "weights" });
    registry.artifactUri = disk.root;
    expect(await fetched("models:/iris/1")).toEqual({ "model.onnx": "weights" });
    registry.artifactUri = pathToFileURL(disk.root).href;
    expect(await fetched("models:/iris/1")).toEqual({ "model.onnx": "weights" });
  });

  it("finds the model of a run, as MLflow 3 keeps it", async () => {
    const run = {
      info: { artifact_uri: "mlflow-artifacts:/1" },
      outputs: { model_outputs: [{ model_id: "m-2" }] },
    };
    registry.overrides.set(`${API}/runs/get`, json({ run }));
    registry.overrides.set(
      `${API}/logged-models/m-2`,
      json({ model: { info: { name: "mine", artifact_uri: "mlflow-artifacts:/2" } } }),
    );
    expect(await fetched("runs:/abc/mine")).toEqual({ "model.onnx": "two" });
    expect(await fetched("runs:/abc/more")).toEqual({ "notes é.txt": "text" });
    registry.overrides.set(
      `${API}/runs/get`,
      json({ run: { info: { artifact_uri: "mlflow-artifacts:/1" } } }),
    );
    expect(await fetched("runs:/abc")).toHaveProperty(["model.onnx"]);
  });

  it("does not list a store outside of MLflow for a logged model", async () => {
    const id = `m-${"a".repeat(32)}`;
    registry.overrides.set(
      `${API}/logged-models/${id}`,
      json({ model: { info: { artifact_uri: "s3://bucket/m" } } }),
    );
    expect(await locate(`models:/${id}`)).toMatchObject({ version: "", location: "s3://bucket/m" });
  });
});

describe("the workspace registry of Databricks, a fake of what MLflow's client asks", () => {
  const list = `${API}/model-versions/list-artifacts`;

  it("reads files from addresses that it signs", async () => {
    registry.artifactUri = "dbfs:/databricks/mlflow-registry/1";
    const host = testHost({
      fetch: (uri, directory, call, options) =>
        fetchingHost.fetch(uri, directory, call, { ...options, allow_private: true }),
    });
    registry.overrides.set(list, (request, response) => {
      const query = new URL(request.url!, "http://host").searchParams;
      const first = [
        { path: "more", is_dir: true },
        { path: "model.onnx", is_dir: false },
      ];
      if (query.get("path") === "more")
        return json({ files: [{ path: "more/a", is_dir: false }] })(request, response);
      if (query.get("page_token") === "2") return json({ files: first.slice(1) })(request, response);
      return json({ files: first.slice(0, 1), next_page_token: "2" })(request, response);
    });
    registry.overrides.set(`${API}/model-versions/get-signed-download-uri`, (request, response) => {
      const path = new URL(request.url!, "http://host").searchParams.get("path");
      const headers = [{ name: "x-signed", value: "yes" }];
      return json({ signed_uri: registry.server.url(`/signed/${path}?signature=1`), headers })(
        request,
        response,
      );
    });
    registry.overrides.set("/signed/model.onnx", status(200, { etag: '"1"' }, "weights"));
    registry.overrides.set("/signed/more/a", status(200, { etag: '"2"' }, "text"));
    const files = await fetched("models:/iris/1", { token: "secret" }, host);
    expect(files).toEqual({ "model.onnx": "weights", "more/a": "text" });
    const signed = registry.server.requests.filter(({ url }) => url!.startsWith("/signed"));
    for (const { headers } of signed) {
      expect(headers).toMatchObject({ "x-signed": "yes" });
      expect(headers.authorization).toBeUndefined();
    }
  });

  it.each([
    ["nothing", [], "has no files"],
    ["a path that leads elsewhere", [{ path: "../a" }], "which is no path below the model"],
    ["too much", [{ path: "a" }, { path: "b" }], "has too many files"],
  ])("refuses %s", async (_, files, message) => {
    registry.artifactUri = "dbfs:/databricks/mlflow-registry/1";
    registry.overrides.set(list, json({ files }));
    await expect(fetched("models:/iris/1", { max_files: 1 })).rejects.toThrow(message);
  });
});
