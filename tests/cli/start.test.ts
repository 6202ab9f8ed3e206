import { afterEach, describe, expect, it } from "vitest";
import { run } from "../../src/cli/program.ts";
import { Capstan } from "../support/capstan.ts";
import { IRIS_ROW, SAMPLES, TestRepository } from "../support/server.ts";

const FREE_PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];

let started: Capstan | undefined;
afterEach(() => {
  started?.child.kill("SIGKILL");
  started = undefined;
});
const capstan = (args: readonly string[], env?: Record<string, string>) => {
  started = new Capstan(args, env);
  return started;
};

describe("capstan start", () => {
  it("says ready with its addresses, serves, and ends with 0 on SIGTERM", async () => {
    const server = capstan(["start", SAMPLES, ...FREE_PORTS]);
    const ready = await server.line("ready");
    expect(ready).toMatchObject({ level: "info", not_ready: [] });
    expect(ready.models).toEqual(expect.arrayContaining(["churn:1", "digits:1", "iris:1", "tiny-chat:1"]));
    expect(ready.time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    const named = await fetch(`http://${ready.http}/v1/generate`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "What", max_new_tokens: 1 }),
    });
    expect(await named.json()).toMatchObject({ model: "tiny-chat", finish_reason: "length" });
    const answer = await fetch(`http://${ready.http}/v2/models/iris/infer`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(IRIS_ROW),
    });
    expect(answer.status).toBe(200);
    server.child.kill("SIGTERM");
    expect(await server.exit()).toBe(0);
    expect(server.lines.map(({ msg }) => msg)).toEqual(expect.arrayContaining(["stopping", "stopped"]));
  });

  it("says ready at every level of the log but silent, the level spelt in any way", async () => {
    await using repository = await TestRepository.create();
    const args = ["start", repository.root, ...FREE_PORTS];
    const server = capstan([...args, "--log-level", "WARNING"]);
    const ready = await server.line("ready");
    expect(ready.http).toMatch(/^127\.0\.0\.1:\d+$/);
    server.child.kill("SIGTERM");
    expect(await server.exit()).toBe(0);
    expect(server.lines.map(({ msg }) => msg)).toEqual(["ready"]);
    expect(await run([...args, "--log-level", "loud"])).toBe(2);
  });

  it("warns of a key of a model's settings that nobody knows", async () => {
    await using repository = await TestRepository.create();
    const parameters = { extra: { framework: "echo" } };
    await repository.write("a", { name: "a", implementation: "llm", parameters, max_batch_sze: 4 });
    const server = capstan(["start", repository.root, ...FREE_PORTS]);
    await server.line("ready");
    expect(server.lines.find(({ level }) => level === "warn")).toMatchObject({
      ...{ model: "a", file: repository.path("a", "model-settings.json"), line: 1, key: "max_batch_sze" },
      msg: 'unknown key; did you mean "max_batch_size"?',
    });
  });

  it.each([
    [{ REDIS_URL: "nonsense" }, /redis_url: must be redis:.*REDIS_URL/],
    [
      { DATABASE_URL: "mysql://u:pw@h/n", CAPSTAN_AUTH__ENABLED: "1" },
      /database_url: must be (?!.*pw).*DATABASE_URL/,
    ],
  ])("ends with 2 for %j", async (env, message) => {
    await using repository = await TestRepository.create();
    const server = capstan(["start", repository.root, ...FREE_PORTS], env as Record<string, string>);
    expect(await server.exit()).toBe(2);
    expect(server.stderr).toMatch(message);
  });

  it("ends with 2 for a folder that is not there", async () => {
    const server = capstan(["start", "/nowhere/models", ...FREE_PORTS]);
    expect(await server.exit()).toBe(2);
    expect(server.stderr).toMatch(/^\/nowhere\/models: there is no such folder/);
  });

  it("answers what it accepted before it ends", async () => {
    const server = capstan(["start", SAMPLES, ...FREE_PORTS]);
    const { http } = await server.line("ready");
    const rows = 2000;
    const data = new Array(rows * 64).fill(0.5);
    const body = JSON.stringify({ inputs: [{ name: "X", shape: [rows, 64], datatype: "FP32", data }] });
    const headers = { "content-type": "application/json" };
    const answers = Array.from({ length: 8 }, () =>
      fetch(`http://${http}/v2/models/digits/infer`, { method: "POST", headers, body }),
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    server.child.kill("SIGTERM");
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses).toEqual(new Array(8).fill(200));
    expect(await server.exit()).toBe(0);
  });

  it("takes a signal that comes twice, as from a terminal and from npm, for one", async () => {
    await using repository = await TestRepository.create();
    const extra = { framework: "echo", delay_ms: 100 };
    await repository.write("slow", { name: "slow", implementation: "llm", parameters: { extra } });
    const server = capstan(["start", repository.root, ...FREE_PORTS]);
    const { http } = await server.line("ready");
    const answer = fetch(`http://${http}/v1/generate`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "one two three four five six seven" }),
    });
    await new Promise((resolve) => setTimeout(resolve, 150));
    server.child.kill("SIGTERM");
    await server.line("stopping");
    server.child.kill("SIGTERM");
    expect(await (await answer).json()).toMatchObject({ output: "Echo: one two three four five six seven" });
    expect(await server.exit()).toBe(0);
  });

  it("takes its settings from the environment, and warns of an open address", async () => {
    const server = capstan(["start", SAMPLES, ...FREE_PORTS], {
      MLSERVER_HOST: "0.0.0.0",
      CAPSTAN_LOAD_MODELS_AT_STARTUP: "false",
    });
    expect(await server.line("ready")).toMatchObject({
      http: expect.stringMatching(/^0\.0\.0\.0:/),
      models: [],
    });
    expect(server.lines.find(({ level }) => level === "warn")?.msg).toMatch(/beyond loopback/);
  });

  it("ends with 2 and a message for settings that are wrong", async () => {
    await using repository = await TestRepository.create();
    const { writeFile } = await import("node:fs/promises");
    await writeFile(repository.path("settings.json"), '{\n  "http_port": "many"\n}');
    const server = capstan(["start", repository.root]);
    expect(await server.exit()).toBe(2);
    expect(server.stderr).toMatch(/settings\.json:2:\d+.*http_port/);
  });

  it("ends with 1 when its port is taken", async () => {
    const first = new Capstan(["start", SAMPLES, ...FREE_PORTS]);
    const { http } = await first.line("ready");
    const second = capstan([
      "start",
      SAMPLES,
      "--http-port",
      String(http).split(":")[1]!,
      "--metrics-port",
      "0",
    ]);
    expect(await second.exit()).toBe(1);
    expect(second.stderr).toMatch(/EADDRINUSE/);
    first.child.kill("SIGTERM");
    expect(await first.exit()).toBe(0);
  });
});

describe("capstan", () => {
  it.each([
    [["--help"], 0],
    [["start", "--help"], 0],
    [["check", "--help"], 0],
    [["--version"], 0],
    [["strat"], 2],
    [["start", "--no-such-flag"], 2],
    [["start", "--log-level", "loud"], 2],
  ])("%j ends with %i", async (args, code) => {
    expect(await run(args)).toBe(code);
  });
});
