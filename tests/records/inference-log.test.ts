import { appendFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { redacted } from "../../src/records/inference-log/redact.ts";
import { Spool } from "../../src/records/inference-log/spool.ts";
import { LogWriter } from "../../src/records/inference-log/writer.ts";
import { openStore, type Store } from "../../src/store/database.ts";
import type { InferenceLogTable } from "../../src/store/tables.ts";
import { testCall } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";
import { TestPostgres } from "../support/postgres.ts";
import { serveLlms } from "../support/scripted-llm.ts";
import { IRIS_ROW, serve, TestRepository } from "../support/server.ts";

const row = (id: string, at = Date.now()): InferenceLogTable => ({
  ...{ id, at, request_id: "r", trace_id: null, key_id: null, model: "m", version: "1", session: null },
  ...{ operation: "chat", input_tokens: 1, output_tokens: 2, latency_ms: 1.5, first_token_ms: null },
  ...{ status: "ok", finish: null, cached: 0, error_code: null, request_body: null, response_body: null },
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan-log-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const countOf = async ({ database }: Store) =>
  (await database.selectFrom("inference_log").select("id").execute()).length;
const writerOf = ({ database }: Store, path = join(folder, "spool.jsonl")) =>
  new LogWriter(database, new Spool(path), 1000, testCall().log);

describe("the writer", () => {
  it("writes in batches, each row once, and deletes what is too old", async () => {
    await using store = await openStore("sqlite::memory:", "/");
    await store.migrate();
    const writer = writerOf(store);
    for (let index = 0; index < 1200; index++) writer.add(row(`id-${index}`));
    writer.add(row("id-0"));
    await writer.flush();
    expect(await countOf(store)).toBe(1200);
    writer.add(row("old", Date.now() - 5000));
    await writer.flush();
    await writer.forget();
    expect(await countOf(store)).toBe(1200);
    await writer.forget(Date.now() + 5000);
    expect(await countOf(store)).toBe(0);
    await writer[Symbol.asyncDispose]();
  });

  it("puts rows on disk while the database is away, and writes them when it is back", async () => {
    await using store = await openStore("sqlite:log.db", folder);
    const writer = writerOf(store);
    writer.add(row("a"));
    writer.add(row("b"));
    await writer.flush();
    expect(writer.spooled).toBe(2);
    writer.add(row("c"));
    await writer.flush();
    await appendFile(join(folder, "spool.jsonl"), '{"id": "half');
    await store.migrate();
    await writer.flush();
    expect(await countOf(store)).toBe(3);
    expect((await readdir(folder)).filter((name) => name.startsWith("spool"))).toEqual([]);
    await writer[Symbol.asyncDispose]();
  });

  it("writes at its start what a process before left on disk", async () => {
    await using store = await openStore("sqlite::memory:", "/");
    await store.migrate();
    await new Spool(join(folder, "spool.jsonl")).append([row("left")]);
    const writer = writerOf(store);
    await writer.flush();
    expect(await countOf(store)).toBe(1);
    await writer[Symbol.asyncDispose]();
  });

  it("says what it loses when the disk does not take it either", async () => {
    const lines: string[] = [];
    const log = { ...testCall().log, error: (_: object, message: string) => void lines.push(message) };
    await using store = await openStore("sqlite::memory:", "/");
    await appendFile(join(folder, "file"), "");
    const spool = new Spool(join(folder, "file", "spool"));
    const writer = new LogWriter(store.database, spool, 1000, log);
    writer.add(row("a"));
    await writer[Symbol.asyncDispose]();
    expect(writer.lost).toBe(1);
    expect(lines).toContainEqual(expect.stringMatching(/are lost/));
  });
});

it("loses no row when the database is killed under load, and fails no request for it", async () => {
  const postgres = await TestPostgres.start();
  await using repository = await TestRepository.create();
  await repository.addSample("iris");
  const cache_dir = join(folder, "cache");
  const settings = { inference_log: { enabled: true }, auth: { database_url: postgres.url }, cache_dir };
  const server = await serve(repository.root, settings);
  const ask = async () => (await server.post("/v2/models/iris/infer", IRIS_ROW)).status;
  const ids = async () => {
    const files = await readdir(join(cache_dir, "inference-log")).catch(() => []);
    const texts = await Promise.all(
      files.map((file) => readFile(join(cache_dir, "inference-log", file), "utf8")),
    );
    return texts.join("").split("\n").filter(Boolean).length;
  };
  const statuses: number[] = [];
  for (let round = 0; round < 10; round++)
    statuses.push(...(await Promise.all(Array.from({ length: 10 }, ask))));
  await eventually(async () => {
    const store = await openStore(postgres.url, "/");
    const found = await countOf(store);
    await store[Symbol.asyncDispose]();
    return found === 100;
  });
  await postgres.kill();
  for (let round = 0; round < 10; round++)
    statuses.push(...(await Promise.all(Array.from({ length: 10 }, ask))));
  expect(statuses).toEqual(new Array(200).fill(200));
  await eventually(async () => (await ids()) === 100);
  await server[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

describe("a server that writes things down", () => {
  it("has a row for each request: who, what, how long and how it ended", async () => {
    const database_url = `sqlite:${join(folder, "log.db")}`;
    const settings = { inference_log: { enabled: true, bodies: true }, auth: { database_url } };
    await using served = await serveLlms(settings);
    const { server } = served;
    const chat = (model: string, content: string, more: object = {}) =>
      server.post("/v1/chat/completions", { model, messages: [{ role: "user", content }], ...more });
    await chat("echo", "my key is sk-abcdefgh12345678");
    await chat("scripted", "refuse");
    await server.post("/v1/embeddings", { model: "scripted", input: "x" });
    await server.post("/v2/models/echo/infer", {
      inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["a"] }],
    });
    const leaving = new AbortController();
    const body = JSON.stringify({
      model: "scripted",
      stream: true,
      messages: [{ role: "user", content: "forever" }],
    });
    const stream = await server.request("/v1/chat/completions", {
      ...{ method: "POST", headers: { "content-type": "application/json" }, body, signal: leaving.signal },
    });
    await stream.body!.getReader().read();
    leaving.abort();
    const rows = async () => ((await server.get("/admin/log")).body as { log: InferenceLogTable[] }).log;
    await eventually(async () => (await rows()).length === 5);
    const [left, tensors, embedded, refused, answered] = await rows();
    expect(answered).toMatchObject({
      ...{
        model: "echo",
        version: "7",
        operation: "chat",
        status: "ok",
        finish: "stop",
        input_tokens: 4,
        output_tokens: 5,
      },
      ...{ latency_ms: expect.any(Number), first_token_ms: expect.any(Number), cached: 0 },
      request_body: '[{"role":"user","content":"my key is [key]"}]',
      response_body: "Echo: my key is [key]",
    });
    expect(refused).toMatchObject({ status: "error", error_code: "RATE_LIMITED" });
    expect(embedded).toMatchObject({ operation: "embed", status: "ok" });
    expect(tensors).toMatchObject({ operation: "infer", output_tokens: 2 });
    expect(left).toMatchObject({ status: "cancelled", response_body: "one" });
    const filtered = (await server.get("/admin/log?model=echo&limit=1")).body as { log: object[] };
    expect(filtered.log).toMatchObject([{ operation: "infer" }]);
    const csv = await (await server.request("/admin/log?format=csv&key=nobody")).text();
    expect(csv).toBe("\r\n");
    expect((await server.get("/admin/log?limit=many")).status).toBe(400);
    expect((await server.get(`/admin/log?before=${answered!.at}`)).body).toEqual({ log: [] });
  });

  it("says so when nothing is written down", async () => {
    await using served = await serveLlms();
    expect(await served.server.get("/admin/log")).toMatchObject({ status: 501 });
    expect((await served.server.request("/admin/cache", { method: "DELETE" })).status).toBe(501);
  });
});

it.each([
  ["Authorization: Bearer abcdefghijkl", "Authorization: Bearer [credential]"],
  ["postgres://u:hunter22@h/d", "postgres://u:[password]@h/d"],
  ['{"api_key": "abcdef"}', '{"api_key": "[secret]"}'],
  ["cap_0123456789ab_ABCDEFGHIJ", "[key]"],
  ["-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "[private key]"],
  ["a plain sentence about a token", "a plain sentence about a token"],
])("keeps no secrets of %j", (text, clean) => {
  expect(redacted(text)).toBe(clean);
  expect(redacted("x".repeat(100_000)).length).toBeLessThan(20_000);
});
