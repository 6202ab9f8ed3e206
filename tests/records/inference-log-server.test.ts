import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openStore, type Store } from "../../src/store/database.ts";
import type { InferenceLogTable } from "../../src/store/tables.ts";
import { eventually } from "../support/eventually.ts";
import { TestPostgres } from "../support/postgres.ts";
import { serveLlms } from "../support/scripted-llm.ts";
import { IRIS_ROW, serve, TestRepository } from "../support/server.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan-log-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const countOf = async ({ database }: Store) =>
  (await database.selectFrom("inference_log").select("id").execute()).length;

it("loses no row when the database is killed under load, and fails no request for it", async () => {
  const postgres = await TestPostgres.start();
  await using repository = await TestRepository.create();
  await repository.addSample("iris");
  const cache_dir = join(folder, "cache");
  const settings = { inference_log: { enabled: true }, auth: { database_url: postgres.url }, cache_dir };
  const server = await serve(repository.root, settings);
  const ask = async () => (await server.post("/v2/models/iris/infer", IRIS_ROW)).status;
  const ids = async () => {
    const spool = join(cache_dir, "inference-log");
    const names = await readdir(spool, { recursive: true }).catch(() => []);
    const files = names.filter((name) => name.endsWith(".jsonl"));
    const texts = await Promise.all(files.map((file) => readFile(join(spool, file), "utf8")));
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
    expect(embedded).toMatchObject({ operation: "embed", status: "ok", input_tokens: 1 });
    expect(tensors).toMatchObject({ operation: "infer", output_tokens: 2 });
    expect(left).toMatchObject({ status: "cancelled", response_body: "one" });
    const filtered = (await server.get("/admin/log?model=echo&limit=1")).body as { log: object[] };
    expect(filtered.log).toMatchObject([{ operation: "infer" }]);
    const csv = await (await server.request("/admin/log?format=csv&key=nobody")).text();
    expect(csv).toMatch(/^id,at,[a-z_,]+\r\n$/);
    expect((await server.get("/admin/log?limit=many")).status).toBe(400);
    expect((await server.get(`/admin/log?before=${answered!.at}`)).body).toEqual({ log: [] });
  });

  it("says so when nothing is written down", async () => {
    await using served = await serveLlms();
    expect(await served.server.get("/admin/log")).toMatchObject({ status: 501 });
    expect((await served.server.request("/admin/cache", { method: "DELETE" })).status).toBe(501);
  });
});
