import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ModelEvent } from "../../src/host/journal.ts";
import type { ModelDetails } from "../../src/host/types.ts";
import { eventually } from "../support/eventually.ts";
import { adding, TestRegistry } from "../support/registry.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let registry: TestRegistry;
let repository: TestRepository;
let cache_dir: string;
let server: TestServer;
beforeEach(async () => {
  registry = await TestRegistry.start();
  repository = await TestRepository.create();
  cache_dir = await mkdtemp(join(tmpdir(), "capstan-hazards-"));
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  for (const each of [registry, repository]) await each[Symbol.asyncDispose]();
  await rm(cache_dir, { recursive: true, force: true });
});

async function start(extra: Record<string, unknown> = {}, settings: Record<string, unknown> = {}) {
  await repository.write("m", registry.settings("m", extra));
  server = await serve(repository.root, { cache_dir, ...settings });
}

const ROW = { inputs: [{ name: "x", shape: [1], datatype: "INT64", data: [0] }] };

/** What the model adds, or the status of a refusal. */
async function answer(): Promise<number> {
  const { status, body } = await server.post("/v2/models/m/infer", ROW);
  return status === 200 ? (body as { outputs: [{ data: [number] }] }).outputs[0].data[0] : status;
}

const details = async () => ((await server.get("/admin/models")).body as { models: ModelDetails[] }).models;
const serves = (wanted: number) => eventually(async () => (await answer()) === wanted);
const notify = () => server.post("/v2/repository/notify", { model: "m" });
const events = async () => (await server.get("/v2/repository/events?model=m")).body as ModelEvent[];
const happened = (type: string, version: string) =>
  eventually(async () => (await events()).some((each) => each.type === type && each.version === version));

const artifacts = async () =>
  (await readdir(join(cache_dir, "artifacts"))).filter((name) => !name.endsWith(".json"));

/** Holds the file of a version back, until the result is called. */
function hold(version: string): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  registry.held[version] = promise;
  return resolve;
}

describe("an alias", () => {
  it("that goes away and comes back within a poll is as if nothing had been", async () => {
    await start({ source: { poll: "1h" } });
    registry.aliases.champion = "2";
    registry.aliases.champion = "1";
    await notify();
    const noticed = notify();
    registry.aliases.champion = "2";
    registry.aliases.champion = "1";
    await noticed;
    expect((await events()).map(({ type }) => type)).toEqual(["loading", "ready"]);
    expect(registry.fetches("2")).toBe(0);
  });

  it("that comes back while the other version is loaded ends where it is", async () => {
    await start();
    const release = hold("2");
    registry.aliases.champion = "2";
    await happened("loading", "2");
    registry.aliases.champion = "1";
    const { looks } = registry;
    await eventually(() => registry.looks > looks + 3);
    await happened("removed", "2");
    release();
    expect(await answer()).toBe(1);
    expect((await details()).map(({ version, state }) => [version, state])).toEqual([["1", "READY"]]);
  });

  it("that moves on during a load is followed to where it is", async () => {
    await start();
    const release = hold("2");
    registry.aliases.champion = "2";
    await happened("loading", "2");
    registry.aliases.champion = "3";
    await serves(3);
    await happened("removed", "2");
    release();
    await eventually(async () => (await details()).length === 1);
    expect(await answer()).toBe(3);
  });

  it("may name the same content under another version", async () => {
    registry.contents[2] = adding(1);
    await start();
    const [{ digest }] = (await details()) as [ModelDetails];
    registry.aliases.champion = "2";
    await happened("removed", "1");
    expect(await details()).toMatchObject([{ version: "2", state: "READY", digest }]);
    expect(await answer()).toBe(1);
    expect(await artifacts()).toHaveLength(1);
    await server.post("/v2/models/m/rollback");
    expect((await details())[0]).toMatchObject({ version: "1", state: "READY", digest });
  });
});

it("a cache smaller than any artifact holds what serves, and what served when that was fetched", async () => {
  await start({}, { cache_max_bytes: 1 });
  expect(await answer()).toBe(1);
  registry.aliases.champion = "2";
  await happened("removed", "1");
  expect(await answer()).toBe(2);
  registry.aliases.champion = "3";
  await happened("removed", "2");
  expect(await answer()).toBe(3);
  expect((await artifacts()).length).toBeLessThanOrEqual(2);
});

describe("a decision", () => {
  it("to roll back where one version has served is refused, and changes nothing", async () => {
    await start();
    for (let times = 0; times < 2; times++) {
      expect(await server.post("/v2/models/m/rollback")).toMatchObject({
        status: 404,
        body: { error: "Model 'm' has no earlier version that served here" },
      });
    }
    registry.aliases.champion = "2";
    await serves(2);
  });

  it("for a version that the registry does not have is refused, and changes nothing", async () => {
    registry.unknown.add("9");
    await start();
    const { status, body } = await server.post("/v2/models/m/pin", { version: "9" });
    expect([status, body]).toEqual([404, { error: expect.stringMatching(/version=9\) not found/) }]);
    registry.aliases.champion = "2";
    await serves(2);
  });
});

describe("while a version is loaded", () => {
  it("the model may be unloaded: nothing is left serving, until it is loaded again", async () => {
    await start();
    const release = hold("2");
    registry.aliases.champion = "2";
    await happened("loading", "2");
    const unloaded = server.post("/v2/repository/models/m/unload");
    release();
    expect((await unloaded).status).toBe(200);
    await eventually(async () => (await answer()) === 503);
    await eventually(async () => (await details()).every(({ state }) => state === "UNAVAILABLE"));
    expect(await answer()).toBe(503);
    expect((await server.post("/v2/repository/models/m/load")).status).toBe(200);
    expect(await answer()).toBe(2);
  });

  it("its folder may be deleted: nothing is left of it", async () => {
    await start();
    const release = hold("2");
    registry.aliases.champion = "2";
    await happened("loading", "2");
    await repository.remove("m");
    await happened("removed", "1");
    await happened("removed", "2");
    expect(await details()).toEqual([]);
    expect(await answer()).toBe(404);
    release();
    expect((await events()).some(({ type }) => type === "load_failed")).toBe(false);
  });

  it("its folder may be deleted and put back: it is loaded, and serves", async () => {
    await start();
    const release = hold("2");
    registry.aliases.champion = "2";
    await happened("loading", "2");
    await repository.remove("m");
    await happened("removed", "2");
    await repository.write("m", registry.settings("m"));
    release();
    await serves(2);
    expect((await details()).map(({ version, state }) => [version, state])).toEqual([["2", "READY"]]);
  });

  it("a version that the alias has left is given up, and never counts as one that served", async () => {
    await start();
    const release = hold("2");
    registry.aliases.champion = "2";
    await happened("loading", "2");
    const loading = server.post("/v2/repository/models/m/load");
    registry.aliases.champion = "1";
    await happened("removed", "2");
    release();
    expect([200, 499]).toContain((await loading).status);
    expect(await answer()).toBe(1);
    expect((await events()).some(({ type, version }) => type === "ready" && version === "2")).toBe(false);
    await server.running.close();
    registry.isDown = true;
    server = await serve(repository.root, { cache_dir });
    expect(await answer()).toBe(1);
  });
});

describe("a mistake in model-settings.json", () => {
  it("leaves what serves serving, and says where; put right, the alias is followed again", async () => {
    await start();
    await repository.write("m", '{ "name": "m", ');
    await eventually(async () => /model-settings.json:1/.test((await details())[0]!.reason));
    expect(await details()).toMatchObject([
      { version: "1", state: "READY", reason: expect.stringContaining("the previous load is still serving") },
    ]);
    expect(await answer()).toBe(1);
    registry.aliases.champion = "2";
    await repository.write("m", registry.settings("m"));
    await happened("removed", "1");
    expect(await details()).toMatchObject([{ version: "2", state: "READY", reason: "" }]);
  });

  it("that is put right while the registry is down leaves it serving, too", async () => {
    await start();
    await repository.write("m", "[");
    await eventually(async () => /model-settings.json:1/.test((await details())[0]!.reason));
    registry.isDown = true;
    await repository.write("m", registry.settings("m"));
    await eventually(async () => /was asked in vain/.test((await details())[0]!.reason));
    expect(await details()).toMatchObject([{ version: "1", state: "READY" }]);
    expect(await answer()).toBe(1);
    registry.isDown = false;
    registry.aliases.champion = "2";
    await notify();
    await serves(2);
  });

  it("leaves a pin and a rollback as they were decided", async () => {
    await start();
    registry.aliases.champion = "2";
    await happened("removed", "1");
    await server.post("/v2/models/m/rollback");
    await repository.write("m", "[");
    await eventually(async () => /model-settings.json:1/.test((await details())[0]!.reason));
    await repository.write("m", registry.settings("m"));
    await eventually(async () => (await details())[0]!.reason === "rolled back");
    expect(await answer()).toBe(1);
  });

  it("leaves a canary serving as well", async () => {
    registry.aliases.challenger = "2";
    await start({ canary: { alias: "challenger", weight: 50 } });
    await happened("canary_started", "2");
    await repository.write("m", "[");
    await eventually(async () => /model-settings.json:1/.test((await details())[0]!.reason));
    expect((await details()).map(({ version, state }) => [version, state])).toEqual([
      ["1", "READY"],
      ["2", "READY"],
    ]);
    expect((await server.post("/v2/models/m/versions/2/infer", ROW)).status).toBe(200);
    const share = (await details()).map(({ canaryWeight }) => canaryWeight);
    expect(share).toEqual([undefined, 50]);
  });
});

it("a password in an address is not shown", async () => {
  const { parameters, ...settings } = registry.settings("m");
  const uri = "https://ann:p4ssw0rd@127.0.0.1:1/m.onnx?sig=s1gn";
  await repository.write("m", { ...settings, parameters: { uri, extra: { source: { poll: "1h" } } } });
  server = await serve(repository.root, { cache_dir });
  const shown = await Promise.all([
    server.request("/v2/repository/index", { method: "POST" }).then((answer) => answer.text()),
    server.request("/admin/models").then((answer) => answer.text()),
    server.request("/v2/models/m/infer", { method: "POST", body: "{}" }).then((answer) => answer.text()),
    server.request("/v2/repository/events").then((answer) => answer.text()),
  ]);
  expect(shown.join("\n")).toContain("holds a user or a password");
  expect(shown.join("\n")).not.toMatch(/p4ssw0rd|s1gn/);
});

it("a canary is there with its alias: while there is none the reason says so", async () => {
  await start({ canary: { alias: "challenger", weight: 50 } });
  expect(await details()).toMatchObject([
    { version: "1", reason: expect.stringMatching(/^no canary: .*alias/) },
  ]);
  registry.aliases.challenger = "2";
  await eventually(async () => (await details()).some(({ canaryWeight }) => canaryWeight === 50));
  expect((await details()).find((each) => each.version === "1")).toMatchObject({ reason: "" });
  delete registry.aliases.challenger;
  await eventually(async () => (await details()).length === 1);
  expect(await details()).toMatchObject([
    { version: "1", reason: expect.stringMatching(/^no canary: .*alias/) },
  ]);
});
