import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ModelDetails } from "../../src/host/types.ts";
import { eventually } from "../support/eventually.ts";
import { TestRegistry } from "../support/registry.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let registry: TestRegistry;
let repository: TestRepository;
let cache_dir: string;
let server: TestServer;
beforeEach(async () => {
  registry = await TestRegistry.start();
  repository = await TestRepository.create();
  cache_dir = await mkdtemp(join(tmpdir(), "capstan-sources-"));
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
  await rm(cache_dir, { recursive: true, force: true });
});

async function start(extra: Record<string, unknown> = {}, settings: Record<string, unknown> = {}) {
  await repository.write("m", registry.settings("m", extra));
  server = await serve(repository.root, { cache_dir, ...settings });
}

const ROW = { inputs: [{ name: "x", shape: [1], datatype: "INT64", data: [0] }] };

/** Which version answers: it adds its number. */
async function version(path = "/v2/models/m/infer", headers: Record<string, string> = {}): Promise<number> {
  const response = await server.request(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(ROW),
  });
  const { outputs, model_version } = (await response.json()) as {
    outputs?: [{ data: [number] }];
    model_version: string;
  };
  if (outputs === undefined) return response.status;
  expect(String(outputs[0].data[0])).toBe(model_version);
  return outputs[0].data[0];
}

const details = async () => ((await server.get("/admin/models")).body as { models: ModelDetails[] }).models;
const post = (path: string, body: object = {}) => server.post(path, body);
const serves = (wanted: number) => eventually(async () => (await version()) === wanted);

describe("an alias", () => {
  it("is followed: the registry's version number is the version", async () => {
    await start();
    expect(await version()).toBe(1);
    registry.aliases.champion = "2";
    await serves(2);
    await eventually(async () => (await details()).length === 1);
    expect(await details()).toMatchObject([
      { name: "m", version: "2", state: "READY", uri: "models:/m@champion", revision: expect.any(String) },
    ]);
  });

  it("is followed at once when the registry says so, signed or from here", async () => {
    await start({ source: { poll: "1h" } }, { notify_secret: "s3cret" });
    registry.aliases.champion = "2";
    expect((await post("/v2/repository/notify", { model: "m" })).status).toBe(202);
    await serves(2);
    registry.aliases.champion = "3";
    const body = JSON.stringify({ uri: "models:/m@champion" });
    const sent = (signature: string) =>
      server.request("/v2/repository/notify", {
        method: "POST",
        body,
        headers: { "x-capstan-signature": signature },
      });
    const digest = (secret: string) => createHmac("sha256", secret).update(body).digest("hex");
    for (const wrong of [
      `sha256=${digest("wrong")}`,
      `sha256=${"é".repeat(64)}`,
      digest("s3cret"),
      "sha256=",
    ])
      expect((await sent(wrong)).status).toBe(403);
    expect((await sent(`sha256=${digest("s3cret")}`)).status).toBe(202);
    await serves(3);
    expect((await post("/v2/repository/notify", { model: "ghost" })).status).toBe(404);
    expect((await post("/v2/repository/notify", {})).status).toBe(400);
    expect((await post("/v2/repository/notify", { model: 3 })).status).toBe(400);
  });

  it("that is deleted leaves the version serving, and says so", async () => {
    await start();
    delete registry.aliases.champion;
    await eventually(async () => /no longer has it: .*no such alias/.test((await details())[0]!.reason));
    expect(await version()).toBe(1);
    registry.aliases.champion = "2";
    await post("/v2/repository/notify", { model: "m" });
    await serves(2);
  });

  it("costs one small request a look while nothing changes, and files are fetched once", async () => {
    await start();
    await eventually(() => registry.looks > 3);
    expect(registry.fetches("1")).toBe(1);
    const others = registry.asked.length - registry.looks;
    await eventually(() => registry.looks > 6);
    expect(registry.asked.length - registry.looks).toBe(others);
  });

  it("that moves to a version which does not load leaves the old one serving, and says why", async () => {
    registry.contents[2] = Buffer.from("no model");
    await start();
    registry.aliases.champion = "2";
    await eventually(async () => (await details()).some(({ reason }) => /model.onnx/.test(reason)));
    expect(await version()).toBe(1);
    expect(registry.fetches("2")).toBe(1);
    await eventually(() => registry.looks > 8);
    expect(registry.fetches("2")).toBe(1);
    registry.aliases.champion = "3";
    await serves(3);
  });
});

it("a version that fails the folder's cases leaves the old one serving, and is counted", async () => {
  const outputs = [{ name: "y", shape: [1], datatype: "INT64", data: [1] }];
  const cases = { tolerance: { rtol: 0, atol: 0 }, cases: [{ name: "one", ...ROW, outputs }] };
  await repository.write("m", "");
  await writeFile(repository.path("m", "cases.json"), JSON.stringify(cases));
  await start();
  registry.aliases.champion = "2";
  await eventually(async () =>
    (await details()).some(
      ({ version: each, reason }) => each === "2" && /case 'one'.*expected 1/.test(reason),
    ),
  );
  expect(await version()).toBe(1);
  const metrics = await (await server.request("/metrics")).text();
  expect(metrics).toContain('capstan_model_loads_total{model="m",outcome="failure"} 1');
});

describe("a registry that is down", () => {
  it("leaves the version serving, and the reason beside it", async () => {
    await start();
    registry.isDown = true;
    await eventually(async () => /was asked in vain/.test((await details())[0]!.reason));
    expect(await version()).toBe(1);
    registry.isDown = false;
    registry.aliases.champion = "2";
    await server.post("/v2/repository/notify", { model: "m" });
    await serves(2);
    await eventually(async () => (await details()).length === 1);
    expect((await details())[0]!.reason).toBe("");
  });

  it("at the start is made up for by the last good version", async () => {
    await start();
    expect(await version()).toBe(1);
    await server[Symbol.asyncDispose]();
    registry.isDown = true;
    server = await serve(repository.root, { cache_dir });
    expect(await version()).toBe(1);
  });

  it("while it is to bring the files is asked for them again, also where folders are not looked at", async () => {
    registry.faults["1"] = 500;
    await start({ source: { poll: "1h" } }, { repository_poll: "0", readiness: "settled" });
    expect(await version()).toBe(503);
    expect((await details())[0]!.reason).toMatch(/500/);
    delete registry.faults["1"];
    await serves(1);
  });

  it("at the first start is an error that says so, and is asked again", async () => {
    registry.isDown = true;
    await start();
    expect(await version()).toBe(503);
    expect((await details())[0]).toMatchObject({
      state: "UNAVAILABLE",
      reason: expect.stringMatching(/500/),
    });
    registry.isDown = false;
    await server.post("/v2/repository/notify", { model: "m" });
    await serves(1);
  });
});

describe("a version that does not load, at a restart", () => {
  it("is made up for by the version that served last, until it loads", async () => {
    await start();
    await server[Symbol.asyncDispose]();
    registry.aliases.champion = "2";
    registry.faults["2"] = 500;
    server = await serve(repository.root, { cache_dir });
    expect(await version()).toBe(1);
    expect((await server.get("/v2/health/ready")).status).toBe(200);
    expect(await details()).toMatchObject([
      { version: "1", state: "READY", reason: "version 2, which the registry names, does not load" },
      { version: "2", state: "UNAVAILABLE", reason: expect.stringMatching(/500/) },
    ]);
    delete registry.faults["2"];
    await serves(2);
    await eventually(async () => (await details()).length === 1);
  });

  it("stays so while it is broken, and is over when the alias moves", async () => {
    registry.contents["2"] = Buffer.from("no model");
    await start();
    await server[Symbol.asyncDispose]();
    registry.aliases.champion = "2";
    server = await serve(repository.root, { cache_dir });
    expect(await version()).toBe(1);
    await eventually(() => registry.looks > 6);
    expect([await version(), registry.fetches("2")]).toEqual([1, 1]);
    registry.aliases.champion = "3";
    await serves(3);
    await eventually(async () => (await details()).length === 1);
  });

  it("leaves nothing to serve where nothing has served", async () => {
    registry.contents["1"] = Buffer.from("no model");
    await start({}, { readiness: "settled" });
    expect(await version()).toBe(503);
    expect(await details()).toMatchObject([{ version: "1", state: "UNAVAILABLE" }]);
  });
});

describe("a person's decision", () => {
  it("to roll back holds until the alias moves, also over a restart", async () => {
    await start();
    expect((await post("/v2/models/m/rollback")).status).toBe(404);
    registry.aliases.champion = "2";
    await serves(2);
    const { body } = await post("/v2/models/m/rollback");
    expect((body as { models: ModelDetails[] }).models).toContainEqual(
      expect.objectContaining({ version: "1", state: "READY", reason: "rolled back" }),
    );
    expect(await version()).toBe(1);
    await eventually(() => registry.looks > 6);
    expect(await version()).toBe(1);
    await server[Symbol.asyncDispose]();
    server = await serve(repository.root, { cache_dir });
    expect(await version()).toBe(1);
    registry.aliases.champion = "3";
    await serves(3);
  });

  it("to roll back leads further back each time, and never to a version that was left so", async () => {
    await start();
    for (const alias of ["2", "3"]) {
      registry.aliases.champion = alias;
      await serves(Number(alias));
    }
    const back = async () => (await post("/v2/models/m/rollback")).status;
    expect([await back(), await version()]).toEqual([200, 2]);
    expect([await back(), await version()]).toEqual([200, 1]);
    expect([await back(), await version()]).toEqual([404, 1]);
    registry.aliases.champion = "4";
    await serves(4);
    expect([await back(), await version()]).toEqual([200, 1]);
    registry.aliases.champion = "2";
    await serves(2);
    registry.aliases.champion = "5";
    await serves(5);
    expect([await back(), await version()]).toEqual([200, 2]);
  });

  it("to pin holds whatever the alias does, until it is unpinned", async () => {
    await start();
    expect((await post("/v2/models/m/pin", { version: "7" })).status).toBe(200);
    expect(await version()).toBe(7);
    registry.aliases.champion = "2";
    await eventually(() => registry.looks > 4);
    expect(await version()).toBe(7);
    expect((await post("/v2/models/m/pin", { version: 7 })).status).toBe(400);
    await post("/v2/models/m/unpin");
    await serves(2);
    await post("/v2/models/m/pin");
    expect((await details())[0]).toMatchObject({ version: "2", note: "pinned" });
  });

  it("that cannot be carried out is taken back", async () => {
    registry.contents[9] = Buffer.from("no model");
    await start();
    expect((await post("/v2/models/m/pin", { version: "9" })).status).toBe(503);
    expect(await version()).toBe(1);
    registry.aliases.champion = "2";
    await serves(2);
  });

  it("to roll back from a version that does not load stays on the one that serves, and shows no other", async () => {
    registry.contents[3] = Buffer.from("no model");
    await start();
    registry.aliases.champion = "2";
    await serves(2);
    registry.aliases.champion = "3";
    await eventually(async () =>
      (await details()).some((each) => each.version === "3" && /model.onnx/.test(each.reason)),
    );
    const { body } = await post("/v2/models/m/rollback");
    expect(body).toMatchObject({ models: [{ version: "2", note: "rolled back" }] });
    expect(await version()).toBe(2);
  });

  it("is over with unpin, also while what the alias names does not load", async () => {
    registry.contents[3] = Buffer.from("no model");
    await start();
    await post("/v2/models/m/pin");
    registry.aliases.champion = "3";
    await post("/v2/repository/notify", { model: "m" });
    const { status, body } = await post("/v2/models/m/unpin");
    expect([status, body]).toMatchObject([
      200,
      {
        models: [
          { version: "1", state: "READY" },
          { version: "3", reason: expect.stringMatching(/model.onnx/) },
        ],
      },
    ]);
    expect(await version()).toBe(1);
    registry.aliases.champion = "4";
    await serves(4);
  });

  it("to unload a model outlives a restart", async () => {
    await start();
    await post("/v2/repository/models/m/unload");
    expect(await version()).toBe(503);
    await server[Symbol.asyncDispose]();
    server = await serve(repository.root, { cache_dir });
    expect(await version()).toBe(503);
    await post("/v2/repository/models/m/load");
    expect(await version()).toBe(1);
  });

  it("is not possible for a folder of files", async () => {
    await start();
    await repository.addSample("iris");
    await eventually(async () => (await server.get("/v2/models/iris/ready")).status === 200);
    expect(await post("/v2/models/iris/pin")).toMatchObject({
      status: 501,
      body: { error: expect.stringMatching(/no.* registry/) },
    });
    expect((await post("/v2/models/ghost/rollback")).status).toBe(404);
  });
});

describe("a canary", () => {
  const canary = { alias: "challenger", weight: 50, max_error_rate: 0.5, min_requests: 5 };

  it("gets its share, and a caller stays on its side", async () => {
    registry.aliases.challenger = "2";
    await start({ canary });
    await eventually(async () => (await details()).filter(({ state }) => state === "READY").length === 2);
    const answers = new Map<string, number>();
    for (let caller = 0; caller < 60; caller++) {
      const id = `caller-${caller}`;
      answers.set(id, await version("/v2/models/m/infer", { "x-request-id": id }));
      expect(await version("/v2/models/m/infer", { "x-request-id": id })).toBe(answers.get(id));
    }
    const tried = [...answers.values()].filter((each) => each === 2).length;
    expect(tried).toBeGreaterThan(10);
    expect(tried).toBeLessThan(50);
    expect(await version("/v2/models/m/versions/1/infer")).toBe(1);
    expect(await version("/v2/models/m/versions/2/infer")).toBe(2);
    expect((await details()).find((each) => each.version === "2")).toMatchObject({ canaryWeight: 50 });
    registry.aliases.champion = "2";
    await eventually(async () => (await details()).length === 1);
    expect(await version()).toBe(2);
  });

  it("that fails too often is taken back", async () => {
    registry.aliases.challenger = "2";
    await start({ canary }, { repository_poll: "0" });
    await eventually(async () => (await details()).filter(({ state }) => state === "READY").length === 2);
    const bad = { inputs: [{ name: "z", shape: [1], datatype: "INT64", data: [0] }] };
    const fail = () => post("/v2/models/m/versions/2/infer", bad);
    await eventually(async () => {
      await Promise.all([fail(), fail(), fail()]);
      return (await details()).length === 1;
    });
    expect(await version()).toBe(1);
    const serving = async () =>
      (await details()).filter(({ state }) => state === "READY").map((each) => each.version);
    registry.aliases.champion = "4";
    await serves(4);
    await post("/v2/models/m/rollback");
    registry.aliases.champion = "5";
    await serves(5);
    await eventually(async () => (await details()).length === 1);
    expect(await serving()).toEqual(["5"]);
    registry.aliases.challenger = "3";
    await eventually(async () => (await serving()).includes("3"));
  });
});
