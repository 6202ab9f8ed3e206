import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ModelDetails } from "../../src/host/types.ts";
import { eventually } from "../support/eventually.ts";
import { TestRegistry } from "../support/registry.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

/** Tells the text of its artifact until it is let go, and counts how many of its kind there are. */
const TELLER = `
import { readFile } from "node:fs/promises";
import { join } from "node:path";
const here = (globalThis.tellers ??= { alive: 0, most: 0, gate: undefined, disposed: [] });
const options = { shape: {}, safeParse: (data) => ({ success: true, data }) };
async function load({ artifact }) {
  const text = await readFile(join(artifact, "model.onnx"), "utf8");
  here.alive += 1;
  here.most = Math.max(here.most, here.alive);
  return {
    async *streamTokens() {
      if (text === "broken") throw new Error("it is broken");
      yield { type: "text", choice: 0, text: text + " " };
      await here.gate;
      yield { type: "text", choice: 0, text };
      yield { type: "finish", choice: 0, reason: "stop", usage: { inputTokens: 1, outputTokens: 2 } };
    },
    async [Symbol.asyncDispose]() {
      here.alive -= 1;
      here.disposed.push(text);
    },
  };
}
export default { kind: "adapter", name: "teller", options, load };
`;

interface Tellers {
  alive: number;
  most: number;
  gate: Promise<void> | undefined;
  disposed: string[];
}
const tellers: Tellers = { alive: 0, most: 0, gate: undefined, disposed: [] };

let registry: TestRegistry;
let repository: TestRepository;
let cache_dir: string;
let server: TestServer;
beforeEach(async () => {
  Object.assign(globalThis, {
    tellers: Object.assign(tellers, { alive: 0, most: 0, gate: undefined, disposed: [] }),
  });
  registry = await TestRegistry.start();
  for (const version of ["1", "2", "3"]) registry.contents[version] = Buffer.from(`v${version}`);
  repository = await TestRepository.create();
  cache_dir = await mkdtemp(join(tmpdir(), "capstan-reloads-"));
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
  await rm(cache_dir, { recursive: true, force: true });
});

async function start(extra: Record<string, unknown> = {}, settings: Record<string, unknown> = {}) {
  const { parameters } = registry.settings("m", { framework: "./teller.mjs", ...extra });
  await repository.write("m", { name: "m", implementation: "llm", parameters });
  await writeFile(repository.path("m", "teller.mjs"), TELLER);
  server = await serve(repository.root, { cache_dir, ...settings });
}

async function told(): Promise<string> {
  const { body } = await server.post("/v1/generate", { model: "m", prompt: "?" });
  return (body as { output: string }).output;
}

const ASKED = { inputs: [{ name: "text_input", shape: [1], datatype: "BYTES", data: ["?"] }] };

const details = async () => ((await server.get("/admin/models")).body as { models: ModelDetails[] }).models;

/** Lines of a metric, by their labels. */
async function metric(name: string): Promise<Record<string, number>> {
  const text = await (await server.request("/metrics")).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`));
  return Object.fromEntries(
    lines
      .map((line) => /\{(.*)\} (.*)$/.exec(line)!.slice(1) as [string, string])
      .map(([labels, value]) => [labels, Number(value)]),
  );
}

describe("a promotion", () => {
  it("lets a stream that began on the old version end on it", async () => {
    await start();
    const { promise, resolve } = Promise.withResolvers<void>();
    tellers.gate = promise;
    const response = await server.request("/v1/stream", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "m", prompt: "?" }),
    });
    const reader = response.body!.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    expect(first).toContain("v1");
    registry.aliases.champion = "2";
    await eventually(async () =>
      (await details()).some(({ version, state }) => version === "2" && state === "READY"),
    );
    expect(tellers).toMatchObject({ alive: 2, disposed: [] });
    tellers.gate = undefined;
    expect(await told()).toBe("v2 v2");
    resolve();
    let rest = "";
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read())
      rest += new TextDecoder().decode(chunk.value);
    expect(rest).toContain("v1");
    expect(rest).not.toContain("v2");
    await eventually(() => tellers.disposed.length > 0);
    expect(tellers).toMatchObject({ alive: 1, disposed: ["v1"] });
  });

  it("of a model too big to be there twice disposes the old version first", async () => {
    await start({ reload: "recreate" });
    for (const version of ["2", "3", "1"]) {
      registry.aliases.champion = version;
      await eventually(async () => (await told().catch(() => "")) === `v${version} v${version}`);
    }
    expect(tellers).toMatchObject({ alive: 1, most: 1, disposed: ["v1", "v2", "v3"] });
    expect((await server.post("/v2/repository/models/m/load")).status).toBe(200);
    expect(tellers).toMatchObject({ alive: 1, most: 1 });
  });

  it("of such a model that does not load brings the old version back", async () => {
    registry.faults["2"] = 500;
    await start({ reload: "recreate" });
    registry.aliases.champion = "2";
    await eventually(async () =>
      (await details()).some(({ version, reason }) => version === "2" && /500/.test(reason)),
    );
    await eventually(async () => (await told().catch(() => "")) === "v1 v1");
    delete registry.faults["2"];
    await eventually(async () => (await told().catch(() => "")) === "v2 v2");
    expect(tellers).toMatchObject({ most: 1 });
  });

  it("is counted, timed, and seen in what serves", async () => {
    await start();
    expect(await metric("capstan_model_swaps_total")).toEqual({});
    registry.aliases.champion = "2";
    await eventually(async () => (await told()) === "v2 v2");
    await eventually(async () => (await details()).length === 1);
    expect(await metric("capstan_model_loads_total")).toEqual({ 'model="m",outcome="success"': 2 });
    expect(await metric("capstan_model_swaps_total")).toEqual({ 'model="m"': 1 });
    expect(await metric("capstan_model_load_duration_seconds_count")).toEqual({ 'model="m"': 2 });
    const generations = await metric("capstan_model_generation");
    expect(Object.keys(generations)).toEqual(['model="m",version="2"']);
    expect(await metric("capstan_registry_failures")).toEqual({ 'model="m"': 0 });
    registry.isDown = true;
    const failures = await eventually(async () => {
      const found = await metric("capstan_registry_failures");
      return found['model="m"']! > 0 && found;
    });
    expect(Object.keys(failures)).toEqual(['model="m"']);
    const age = await metric("capstan_registry_age_seconds");
    expect(age['model="m"']).toBeGreaterThan(0);
  });
});

it("a canary that was taken back is shown with its reason, counted, and not tried again after a restart", async () => {
  registry.aliases.challenger = "2";
  registry.contents["2"] = Buffer.from("broken");
  const canary = { alias: "challenger", weight: 50, max_error_rate: 0.1, min_requests: 2 };
  await start({ canary }, { repository_poll: "50ms" });
  await eventually(async () => (await details()).filter(({ state }) => state === "READY").length === 2);
  expect(await metric("capstan_canary_weight")).toEqual({ 'model="m",version="2"': 50 });
  const fail = () => server.post("/v2/models/m/versions/2/infer", ASKED);
  const shown = await eventually(async () => {
    await fail();
    const [only, ...others] = await details();
    return others.length === 0 && only;
  });
  expect(shown).toMatchObject({
    version: "1",
    state: "READY",
    reason: expect.stringContaining("canary 2: its error rate"),
  });
  expect(await metric("capstan_canaries_stopped_total")).toEqual({ 'model="m"': 1 });
  expect(await metric("capstan_canary_weight")).toEqual({});
  await server[Symbol.asyncDispose]();
  server = await serve(repository.root, { cache_dir });
  expect(await details()).toMatchObject([{ version: "1", reason: expect.stringContaining("canary 2") }]);
});

it("a load call for a model that is not there leaves no decision behind", async () => {
  await start();
  expect((await server.post("/v2/repository/models/later/load")).status).toBe(404);
  await repository.addSample("iris", "later", {
    name: "later",
    implementation: "onnx",
    parameters: { uri: "./model.onnx" },
  });
  await server[Symbol.asyncDispose]();
  server = await serve(repository.root, { cache_dir, load_models_at_startup: false });
  const later = (await details()).find(({ name }) => name === "later");
  expect(later).toMatchObject({ state: "UNAVAILABLE" });
});
