import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { followEvents, lineOf } from "../../src/cli/model-events.ts";
import { run } from "../../src/cli/program.ts";
import type { ModelEvent } from "../../src/host/journal.ts";
import type { ModelDetails } from "../../src/host/types.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { startTracing } from "../../src/telemetry/start-tracing.ts";
import { eventually } from "../support/eventually.ts";
import { OtlpCollector } from "../support/otlp.ts";
import { TestRegistry } from "../support/registry.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let registry: TestRegistry;
let repository: TestRepository;
let server: TestServer;
beforeEach(async () => {
  registry = await TestRegistry.start();
  repository = await TestRepository.create();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  for (const each of [registry, repository]) await each[Symbol.asyncDispose]();
  vi.restoreAllMocks();
});

async function start(extra: Record<string, unknown> = {}, settings: Record<string, unknown> = {}) {
  await repository.write("m", registry.settings("m", extra));
  server = await serve(repository.root, settings);
}

const PATH = "/v2/repository/events";
const events = async (query = "") => (await server.get(PATH + query)).body as ModelEvent[];
const typesOf = (all: readonly ModelEvent[]) => all.map(({ type, version }) => `${type} ${version}`);
const types = async (query?: string) => typesOf(await events(query));
const happened = (type: string) => eventually(async () => (await types()).includes(type));

describe("the events of a model", () => {
  it("are the steps of a load, and of a swap, with version, digest and alias", async () => {
    await start();
    registry.aliases.champion = "2";
    await happened("removed 1");
    expect(await types()).toEqual([
      ...["loading 1", "ready 1", "loading 2", "ready 2", "swap_started 2", "swapped 2"],
      ...["drained 1", "removed 1"],
    ]);
    const [{ digest }] = ((await server.get("/admin/models")).body as { models: [ModelDetails] }).models;
    const swapped = (await events()).find(({ type }) => type === "swapped");
    expect(swapped).toMatchObject({
      model: "m",
      alias: "champion",
      previous: "1",
      digest,
      id: expect.any(Number),
    });
  });

  it("say why a load failed, at which step, and when it is tried again", async () => {
    registry.contents[2] = Buffer.from("no model");
    registry.faults[3] = 500;
    await start();
    registry.aliases.champion = "2";
    await happened("load_failed 2");
    expect((await events()).find(({ type }) => type === "load_failed")).toMatchObject({
      step: "load",
      reason: expect.stringContaining("model.onnx"),
    });
    expect(await types()).not.toContain("retry_due 2");
    registry.aliases.champion = "3";
    await happened("retry_due 3");
    const [failed, due] = (await events()).slice(-2);
    expect(failed).toMatchObject({ type: "load_failed", version: "3", step: "fetch" });
    expect(Date.parse(due!.retryAt!)).toBeGreaterThan(Date.parse(due!.time));
  });

  it("name settings and cases as steps", async () => {
    await repository.addSample("iris");
    await repository.write("broken", '{ "name": ');
    const wrong = {
      cases: [{ name: "c", inputs: [{ name: "x", datatype: "INT64", shape: [1], data: [1] }] }],
    };
    await start();
    await writeFile(repository.path("m", "cases.json"), JSON.stringify(wrong));
    await server.post("/v2/repository/models/m/load");
    const steps = (await events())
      .filter(({ type }) => type === "load_failed")
      .map(({ model, step }) => [model, step]);
    expect(steps).toEqual([
      ["broken", "settings"],
      ["m", "cases"],
    ]);
  });

  it("are what people decided, too", async () => {
    await start();
    registry.aliases.champion = "2";
    await happened("removed 1");
    const [{ id }] = (await events()).slice(-1) as [ModelEvent];
    for (const action of ["rollback", "unpin", "pin"]) await server.post(`/v2/models/m/${action}`);
    await server.post("/v2/models/m/pin", { version: "99x" });
    const decided = (await types(`?since=${id}`)).filter((each) => /rolled|pinned/.test(each));
    expect(decided).toEqual(["rolled_back 1", "unpinned 2", "pinned 2"]);
  });

  it("follow a canary: begun, given more, serving all", async () => {
    registry.aliases.challenger = "2";
    const canary = (weight: number) => ({ canary: { alias: "challenger", weight } });
    await start(canary(10));
    await happened("canary_started 2");
    await repository.write("m", registry.settings("m", canary(50)));
    await happened("canary_advanced 2");
    registry.aliases.champion = "2";
    await eventually(async () => (await types()).filter((each) => each === "canary_advanced 2").length === 2);
    const told = (await events()).filter(({ type }) => type.startsWith("canary"));
    expect(told.map(({ type, weight, reason }) => [type, weight ?? reason])).toEqual([
      ["canary_started", 10],
      ["canary_advanced", 50],
      ["canary_advanced", "it serves every request now"],
    ]);
    expect(told[0]).toMatchObject({ alias: "challenger" });
  });
});

describe("GET /v2/repository/events", () => {
  it("gives those of a model, since an id or a time", async () => {
    await repository.addSample("iris");
    await start();
    expect(new Set((await events("?model=iris")).map(({ model }) => model))).toEqual(new Set(["iris"]));
    const all = await events();
    expect(await events(`?since=${all[1]!.id}`)).toEqual(all.slice(2));
    expect(await events(`?since=${all[0]!.time}`)).toEqual(all);
    expect(await events("?since=2999-01-01")).toEqual([]);
    expect((await server.get(`${PATH}?since=yesterday`)).body).toEqual({
      error: "'since' must be the id of an event or a time such as 2026-01-31T12:00:00Z, not 'yesterday'",
    });
  });

  it("is for administrators, and without access control for programs here", async () => {
    await start();
    const answer = await server.request(PATH, { headers: { "x-forwarded-for": "1.2.3.4" } });
    expect(answer.status).toBe(403);
  });

  it("streams, with heartbeats, and goes on after the last event seen", async () => {
    await start({}, { stream_heartbeat: "20ms" });
    const all = await events();
    const leaving = new AbortController();
    const response = await server.request(PATH, {
      headers: { accept: "text/event-stream", "last-event-id": String(all[0]!.id) },
      signal: leaving.signal,
    });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    let text = "";
    const reading = (async () => {
      for await (const each of response.body!.pipeThrough(new TextDecoderStream())) text += each;
    })().catch(() => {});
    await eventually(() => text.includes(": ping"));
    registry.aliases.champion = "2";
    await eventually(() => text.includes('"removed"'));
    leaving.abort();
    await reading;
    const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    expect(ids).toEqual((await events()).slice(1).map(({ id }) => id));
    const badId = { headers: { accept: "text/event-stream", "last-event-id": "x" } };
    expect((await server.request(PATH, badId)).status).toBe(400);
  });

  it("ends with the server", async () => {
    await start();
    const response = await server.request(PATH, { headers: { accept: "text/event-stream" } });
    const text = response.text();
    await server.running.close();
    expect(await text).toContain('"type":"ready"');
  });
});

describe("capstan models events", () => {
  it("prints a line for each", async () => {
    await start();
    const printed: string[] = [];
    vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
    expect(await run(["models", "events", "m", "--url", server.url])).toBe(0);
    expect(printed[0]).toMatch(/^\d{4}-[\d:.T-]+Z {2}loading {13}m:1 {2}@champion$/);
    expect(printed[1]).toMatch(/ready {15}m:1 {2}@champion {2}digest [\da-f]{12}$/);
    printed.length = 0;
    expect(await run(["models", "events", "--json", "--since", "2000-01-01", "--url", server.url])).toBe(0);
    expect(printed.map((line) => JSON.parse(line) as ModelEvent)).toEqual(await events());
  });

  it("follows, also over a restart of the server", async () => {
    await start();
    const { port } = server.running.http;
    const leaving = new AbortController();
    const seen: ModelEvent[] = [];
    const following = (async () => {
      for await (const event of followEvents({ url: server.url, model: "m" }, leaving.signal))
        seen.push(event);
    })();
    await eventually(() => seen.length === 2);
    await server[Symbol.asyncDispose]();
    server = await serve(repository.root, { http_port: port });
    await eventually(() => seen.length >= 4);
    leaving.abort();
    await following;
    const ids = seen.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(typesOf(seen).slice(-2)).toEqual(["loading 1", "ready 1"]);
  });

  it("says what is known of an event, and nothing else", () => {
    const event: ModelEvent = {
      id: 1,
      time: "T",
      type: "swapped",
      model: "m",
      version: "2",
      previous: "2",
      weight: 0,
    };
    expect(lineOf(event)).toBe("T  swapped             m:2  0 %");
  });
});

it("a load has a span, that says how it ended", async () => {
  await using collector = await OtlpCollector.start();
  const log = await createLog({ level: "silent", pretty: false });
  const tracing = await startTracing(collector.env, { tracing_server: null }, log);
  registry.contents[2] = Buffer.from("no model");
  await repository.write("m", registry.settings("m"));
  server = await serve(repository.root, {}, {}, tracing);
  registry.aliases.champion = "2";
  await happened("load_failed 2");
  await tracing![Symbol.asyncDispose]();
  const spans = collector.spans.filter(({ name }) => name === "load m");
  expect(spans.map(({ attributes }) => attributes)).toMatchObject([
    { "capstan.model.name": "m", "capstan.model.version": "1" },
    { "capstan.model.version": "2", "error.type": "LOAD_FAILED" },
  ]);
});
