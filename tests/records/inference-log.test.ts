import { appendFile, mkdir, mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { LogStore } from "../../src/records/inference-log/insert.ts";
import { KEPT_CHARACTERS, redacted } from "../../src/records/inference-log/redact.ts";
import { Spool } from "../../src/records/inference-log/spool.ts";
import { LogWriter } from "../../src/records/inference-log/writer.ts";
import { openStore, type Store } from "../../src/store/database.ts";
import type { InferenceLogTable } from "../../src/store/tables.ts";
import { testCall } from "../../src/testing/index.ts";
import { TestPostgres } from "../support/postgres.ts";

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
const writerOf = (store: Store, path = join(folder, "spool")) =>
  new LogWriter(store, new Spool(path), 1000, testCall().log);

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
    await appendFile(join(folder, "spool", "0-cut.jsonl"), `${JSON.stringify(row("d"))}\n{"id": "half`);
    await store.migrate();
    await writer.flush();
    expect(await countOf(store)).toBe(4);
    expect(writer.counts).toEqual({ written: 4, spooled: 3, lost: 0, pending: 0 });
    expect(await readdir(join(folder, "spool"))).toEqual([]);
    await writer[Symbol.asyncDispose]();
  });

  it("writes at its start what a process before left on disk", async () => {
    await using store = await openStore("sqlite::memory:", "/");
    await store.migrate();
    await new Spool(join(folder, "spool")).append([row("left")]);
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
    const writer = new LogWriter(store, spool, 1000, log);
    writer.add(row("a"));
    await writer[Symbol.asyncDispose]();
    expect(writer.lost).toBe(1);
    expect(lines).toContainEqual(expect.stringMatching(/are lost/));
  });

  it("keeps going when a database hangs: rows go to disk, the next insert waits for the first", async () => {
    const hanging = Promise.withResolvers<never>();
    let tries = 0;
    const executeQuery = () => (++tries === 1 ? hanging.promise : Promise.resolve({ rows: [] }));
    const store = { kind: "postgres", database: { executeQuery } } as unknown as LogStore;
    const writer = new LogWriter(store, new Spool(join(folder, "spool")), 1000, testCall().log, 20);
    writer.add(row("a"));
    await writer.flush();
    writer.add(row("b"));
    await writer.flush();
    expect([tries, writer.counts]).toEqual([1, { written: 0, spooled: 2, lost: 0, pending: 0 }]);
    hanging.reject(new Error("broken"));
    await vi.waitFor(async () => {
      await writer.flush();
      expect(writer.counts.written).toBe(2);
    });
    await writer[Symbol.asyncDispose]();
  });

  it("has a bound of rows and of bodies in memory, and loses what the disk cannot take in time", async () => {
    const hanging = new Promise<never>(() => {});
    const store = { kind: "postgres", database: { executeQuery: () => hanging } } as unknown as LogStore;
    const appended: number[] = [];
    const spool = { append: async (rows: readonly object[]) => void appended.push(rows.length) } as Spool;
    const writer = new LogWriter(store, spool, 1000, testCall().log);
    for (let index = 0; index < 10_600; index++) writer.add(row(`id-${index}`));
    expect(writer.counts.pending).toBeLessThan(5000);
    expect([appended, writer.lost]).toEqual([[5000], 5000]);
    await new Promise(setImmediate);
    const body = "x".repeat(16_384);
    for (let index = 0; index < 2100; index++) writer.add({ ...row(`long-${index}`), request_body: body });
    expect(appended[1]).toBeGreaterThan(1000);
    expect(writer.counts.pending).toBeLessThan(100);
  });

  it("says at the first that rows are lost, and that the disk is full", async () => {
    const lines: string[] = [];
    const log = { ...testCall().log, error: (_: object, message: string) => void lines.push(message) };
    const full = () =>
      Promise.reject(Object.assign(new Error("no space left on device"), { code: "ENOSPC" }));
    const spool = { append: full, replay: full } as unknown as Spool;
    await using store = await openStore("sqlite::memory:", "/");
    const writer = new LogWriter(store, spool, 1000, log);
    for (const id of ["a", "b"]) {
      writer.add(row(id));
      await writer.flush();
    }
    expect([writer.lost, lines.filter((line) => /are lost/.test(line)).length]).toEqual([2, 1]);
    await writer[Symbol.asyncDispose]();
  });
});

describe("the spool", () => {
  it("is shared by servers: each file is written once or twice, and each row is there once", async () => {
    await using store = await openStore("sqlite:log.db", folder);
    await store.migrate();
    const spools = [1, 2, 3].map(() => new Spool(join(folder, "spool")));
    await Promise.all(
      spools.flatMap((spool, server) =>
        Array.from({ length: 20 }, (_, file) =>
          spool.append([row(`${server}-${file}-a`), row(`${server}-${file}-b`)]),
        ),
      ),
    );
    const writers = [writerOf(store), writerOf(store)];
    await Promise.all(writers.map((writer) => writer.flush()));
    while ((await readdir(join(folder, "spool"))).length > 0)
      await Promise.all(writers.map((each) => each.flush()));
    expect(await countOf(store)).toBe(120);
    for (const writer of writers) await writer[Symbol.asyncDispose]();
  });

  it("gives what a killed process had only begun to write, after a while", async () => {
    const spool = new Spool(folder);
    const text = `${JSON.stringify(row("a"))}\n{"id`;
    await appendFile(join(folder, "1-old.part"), text);
    await appendFile(join(folder, "2-new.part"), text);
    await utimes(join(folder, "1-old.part"), 1, 1);
    const ids: string[] = [];
    const write = async (rows: readonly InferenceLogTable[]) => void ids.push(...rows.map(({ id }) => id));
    await spool.replay(write);
    await spool.replay(write);
    expect([ids, await readdir(folder)]).toEqual([["a"], ["2-new.part"]]);
  });

  it("says when its files cannot be read", async () => {
    await mkdir(join(folder, "spool", "a.jsonl"), { recursive: true });
    await expect(new Spool(join(folder, "spool")).replay(async () => {})).rejects.toThrow("EISDIR");
  });
});

describe.each(["sqlite", "postgres"])("rows in %s", (kind) => {
  const opened = new AsyncDisposableStack();
  let store: Store;
  beforeAll(async () => {
    const url = kind === "sqlite" ? "sqlite::memory:" : opened.use(await TestPostgres.start()).url;
    store = opened.use(await openStore(url, "/"));
    await store.migrate();
  });
  afterAll(() => opened.disposeAsync());

  const all = () => store.database.selectFrom("inference_log").selectAll().orderBy("id").execute();

  it("are as they were given; of one that is written twice the later state stays", async () => {
    const writer = writerOf(store);
    const full = {
      ...row("a"),
      ...{
        trace_id: "t",
        key_id: "k",
        session: 's "é"',
        first_token_ms: 0.25,
        finish: "stop",
        cached: 1 as const,
      },
      ...{ error_code: "UPSTREAM", request_body: "[\n]", response_body: "💡" },
    };
    writer.add({ ...full, latency_ms: 1, status: "early" });
    writer.add(full);
    await writer.flush();
    writer.add({ ...full, latency_ms: 1, status: "early" });
    await writer.flush();
    expect(await all()).toEqual([full]);
    await writer.forget(Date.now() + 60_000);
    expect(await all()).toEqual([]);
    await writer[Symbol.asyncDispose]();
  });

  it("are written without one that the database never takes", async () => {
    const lines: string[] = [];
    const log = { ...testCall().log, error: (_: object, message: string) => void lines.push(message) };
    const writer = new LogWriter(store, new Spool(join(folder, "spool")), 1000, log);
    for (const id of ["a", "b", "c"]) writer.add(row(id));
    writer.add({ ...row("bad"), model: null as never });
    await new Spool(join(folder, "spool")).append([row("d"), { ...row("worse"), operation: null as never }]);
    await writer.flush();
    expect((await all()).map(({ id }) => id)).toEqual(["a", "b", "c", "d"]);
    expect(writer.counts).toEqual({ written: 4, spooled: 0, lost: 2, pending: 0 });
    expect(lines).toEqual(["the database refuses a row of the inference log"]);
    await writer[Symbol.asyncDispose]();
  });

  it("are deleted a few at a time, and no longer when the server stops", async () => {
    const writer = writerOf(store);
    for (let index = 0; index < 2500; index++) writer.add(row(`old-${index}`, 1000));
    await writer.flush();
    await writer.forget();
    expect((await all()).map(({ id }) => id)).toEqual(["a", "b", "c", "d"]);
    for (let index = 0; index < 2500; index++) writer.add(row(`old-${index}`, 1000));
    await writer.flush();
    const forgetting = writer.forget();
    await writer[Symbol.asyncDispose]();
    await forgetting;
    expect((await all()).length).toBeGreaterThan(1000);
  });
});

it.each([
  ["Authorization: Bearer abcdefghijkl", "Authorization: Bearer [credential]"],
  ["postgres://u:hunter22@h/d", "postgres://u:[password]@h/d"],
  ['{"api_key": "abcdef"}', '{"api_key": "[secret]"}'],
  ["cap_0123456789ab_ABCDEFGHIJ", "[key]"],
  ["-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "[private key]"],
  ["a plain sentence about a token", "a plain sentence about a token"],
  ['{"max_tokens": 1000, "model": "m"}', '{"max_tokens": 1000, "model": "m"}'],
  ["postgres://u:p@ss:w0rd@h/d", "postgres://u:[password]@h/d"],
  ["see http://h:80/a@b", "see http://h:80/a@b"],
  [
    JSON.stringify('{"password": "hunter22", "user": "u"}'),
    JSON.stringify('{"password": "[secret]", "user": "u"}'),
  ],
  ["access_token=abcdefgh&user=u", "access_token=[secret]&user=u"],
  ["aws_secret_access_key = abc/def+ghi", "aws_secret_access_key = [secret]"],
  ["my password is hunter22 and", "my password is [secret] and"],
  ["sk_live_abcdefgh1234 ghp_abcdefgh1234 AIzaSyA1234567", "[key] [key] [key]"],
  ["eyJhbGciOiJI.eyJzdWIiOiIx.abc-def", "[token]"],
  ["-----BEGIN PRIVATE KEY-----\nMIIE", "[private key]"],
])("keeps no secrets of %j", (text, clean) => {
  expect(redacted(text)).toBe(clean);
  expect(redacted("x".repeat(100_000)).length).toBeLessThan(20_000);
});

it.each(["a-", "a", "password", "-----BEGIN PRIVATE KEY-----", "http://u:", "eyJaaaaaaaa.", " is"])(
  "reads a long text of %j to its bound",
  (part) => {
    expect(redacted(part.repeat(100_000 / part.length)).length).toBeLessThanOrEqual(KEPT_CHARACTERS + 1);
  },
);
