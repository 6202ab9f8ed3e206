import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import sql from "../../memory/sql/index.ts";
import { sessionDigest } from "../../memory/sql/table.ts";
import type { MemoryStore, Session, Turn } from "../../src/contracts/index.ts";
import { collect, memoryContract, testCall, testHost } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { TestPostgres } from "../support/postgres.ts";

const files = await Files.create();
const kinds = ["sqlite", "postgres"] as const;
const urls = { sqlite: `sqlite:${files.path("memory.db")}`, postgres: "" };
let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await TestPostgres.start();
  urls.postgres = postgres.url;
});
afterAll(async () => {
  await postgres[Symbol.asyncDispose]();
  await files[Symbol.asyncDispose]();
});

const open = (url: string): Promise<MemoryStore> => sql.open({ url, ttl: undefined }, testHost());
const session: Session = { owner: "ann", id: "talk" };
const turn = (id: string): Turn => ({ id, at: 1, messages: [{ role: "user", content: id }] });

/** Rows of a statement that has the digest of a session as its parameter. */
const query = {
  async sqlite(statement: string, digest: string): Promise<unknown[]> {
    const database = new DatabaseSync(files.path("memory.db"), { timeout: 5000 });
    using _ = { [Symbol.dispose]: () => database.close() };
    return database.prepare(statement.replace("$1", "?")).all(digest);
  },
  async postgres(statement: string, digest: string): Promise<unknown[]> {
    const client = new pg.Client(urls.postgres);
    await client.connect();
    await using _ = { [Symbol.asyncDispose]: () => client.end() };
    return (await client.query(statement, [digest])).rows;
  },
};

/** Ends the hold of a lock, or the time of a session, as when it is over. */
const expire = (kind: (typeof kinds)[number], digest: string, table = "locks", at = 0) =>
  query[kind](`UPDATE capstan_memory_${table} SET expires_at = ${at} WHERE session = $1`, digest);

describe.each(kinds)("contract on %s", (kind) => {
  const cases = memoryContract(sql, {
    options: {
      get url() {
        return urls[kind];
      },
    },
    expireLock: async (locked) => {
      await expire(kind, sessionDigest(locked));
    },
  });
  for (const { name, run } of cases) it(name, run);

  it("renews a lock while it is held, and not any more when it is another's", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const locked = { owner: "ann", id: `renewed on ${kind}` };
    await using memory = await open(urls[kind]);
    await using _ = await memory.lock!(locked, testCall());
    await expire(kind, sessionDigest(locked));
    await vi.advanceTimersByTimeAsync(3000);
    const held = "SELECT 1 FROM capstan_memory_locks WHERE session = $1 AND expires_at > 0";
    await vi.waitFor(async () => expect(await query[kind](held, sessionDigest(locked))).toHaveLength(1));
    await using other = await open(urls[kind]);
    const impatient = testCall({ signal: AbortSignal.timeout(100) });
    await expect(other.lock!(locked, impatient)).rejects.toThrow(/timeout/);
    await expire(kind, sessionDigest(locked));
    await using __ = await other.lock!(locked, testCall());
    const timers = vi.getTimerCount();
    await vi.advanceTimersByTimeAsync(3000);
    await vi.waitFor(() => expect(vi.getTimerCount()).toBe(timers - 1));
    vi.useRealTimers();
  });
});

describe.each(kinds)("%s", (kind) => {
  it("keeps sessions when it is opened anew, by several at once", async () => {
    const writers = await Promise.all([open(urls[kind]), open(urls[kind]), open(urls[kind])]);
    await Promise.all(writers.map((memory, index) => memory.append(session, [turn(`${index}`)], testCall())));
    for (const memory of writers) await memory[Symbol.asyncDispose]();
    await using memory = await open(urls[kind]);
    const kept = await collect(memory.read(session, {}, testCall()));
    expect(kept.map(({ id }) => id).sort()).toEqual(["0", "1", "2"]);
  });

  it("takes more turns at once than fit into a statement", async () => {
    await using memory = await open(urls[kind]);
    const turns = Array.from({ length: 1200 }, (_, index) => turn(String(index)));
    await memory.append({ owner: "ann", id: "long" }, turns, testCall());
    expect(await collect(memory.read({ owner: "ann", id: "long" }, { last: 1100 }, testCall()))).toEqual(
      turns.slice(100),
    );
  });
});

describe.each(kinds)("a time to live on %s", (kind) => {
  const forgetting = () => sql.open({ url: urls[kind], ttl: "1h" }, testHost());
  const ids = async (memory: MemoryStore, of: Session) =>
    (await collect(memory.read(of, {}, testCall()))).map(({ id }) => id);
  const count = async (table: string, of: Session) =>
    (await query[kind](`SELECT 1 FROM capstan_memory${table} WHERE session = $1`, sessionDigest(of))).length;
  const ends = async (of: Session) => {
    const rows = await query[kind](
      "SELECT expires_at FROM capstan_memory_sessions WHERE session = $1",
      sessionDigest(of),
    );
    return Number((rows[0] as { expires_at: unknown }).expires_at);
  };

  it("forgets a session that was not used for that long, and begins it anew", async () => {
    await using memory = await forgetting();
    const talk = { owner: `ttl ${kind}`, id: "forgotten" };
    await memory.append(talk, [turn("1")], testCall());
    await memory.append(talk, [turn("2")], testCall());
    expect(await ids(memory, talk)).toEqual(["1", "2"]);
    await expire(kind, sessionDigest(talk), "sessions", 1);
    expect(await ids(memory, talk)).toEqual([]);
    expect(await collect(memory.sessions!(talk.owner, testCall()))).toEqual([]);
    await memory.append(talk, [turn("1"), turn("3")], testCall());
    expect(await ids(memory, talk)).toEqual(["1", "3"]);
  });

  it("begins again with each use, and for what was there before it", async () => {
    const talk = { owner: `ttl ${kind}`, id: "used" };
    {
      await using plain = await open(urls[kind]);
      await plain.append(talk, [turn("old")], testCall());
    }
    await using memory = await forgetting();
    expect(await ids(memory, talk)).toEqual(["old"]);
    await memory.append(talk, [turn("new")], testCall());
    const first = await ends(talk);
    await expire(kind, sessionDigest(talk), "sessions", first - 1_800_000);
    expect(await ids(memory, talk)).toEqual(["old", "new"]);
    expect(await ends(talk)).toBeGreaterThanOrEqual(first);
  });

  it("deletes what is forgotten when a server starts, and the rows of its locks a day later", async () => {
    const [late, latest] = ["late", "latest"].map((id) => ({ owner: `ttl ${kind}`, id })) as [
      Session,
      Session,
    ];
    {
      await using memory = await forgetting();
      for (const talk of [late, latest]) {
        await using _ = await memory.lock!(talk, testCall());
        await memory.append(talk, [turn("1")], testCall());
      }
    }
    await expire(kind, sessionDigest(late), "sessions", Date.now() - 1000);
    await expire(kind, sessionDigest(latest), "sessions", 1);
    await using memory = await forgetting();
    expect(await ids(memory, { owner: "other", id: "x" })).toEqual([]);
    expect([await count("", late), await count("_locks", late), await count("_sessions", late)]).toEqual([
      0, 1, 1,
    ]);
    expect(await count("", latest)).toBe(0);
    expect([await count("_locks", latest), await count("_sessions", latest)]).toEqual([0, 0]);
  });
});

it("refuses a time to live that is none", () => {
  expect(sql.options.safeParse({ url: "sqlite:", ttl: "soon" })).toMatchObject({
    error: { issues: [{ path: ["ttl"] }] },
  });
});

it.each(["mysql://u:secret@h/n", "", "memory.db", "postgres://h:x:y/z"])(
  "refuses the url %j without repeating it",
  (url) => {
    const result = sql.options.safeParse({ url });
    expect(result.success).toBe(false);
    expect(JSON.stringify(result)).not.toContain("secret");
    expect(result).toMatchObject({
      error: {
        issues: [{ path: ["url"], message: "must be sqlite:path or postgres://user:password@host/name" }],
      },
    });
  },
);

it.each([
  ["sqlite+aiosqlite:///", "sqlite"],
  ["postgresql+asyncpg://", "postgres"],
])("takes addresses that begin with %s", async (start, kind) => {
  const rest = kind === "sqlite" ? `/${files.path("memory.db")}` : postgres.url.slice("postgres://".length);
  await using memory = await open(start + rest);
  expect(await collect(memory.read({ owner: "nobody", id: "x" }, {}, testCall()))).toEqual([]);
});

it("opens while its database is away, says where it is without the password, and works once it is back", async () => {
  const away = postgres.url.replace(/:\d+\//, ":1/");
  await using memory = await open(away);
  const reading = collect(memory.read(session, {}, testCall()));
  await expect(reading).rejects.toMatchObject({
    code: "NOT_READY",
    message: expect.stringMatching(/^The memory in Postgres at 127.0.0.1:1\/capstan does not answer: /),
  });
  await expect(reading).rejects.not.toThrow(/secret/);
});

it("does not repeat a wrong password", async () => {
  await using memory = await open(postgres.url.replace(":secret@", ":sesame@"));
  const error = await memory.clear(session, testCall()).catch((thrown: Error) => thrown);
  expect(error).toMatchObject({
    code: "NOT_READY",
    message: expect.stringContaining("authentication failed"),
  });
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("sesame");
});

it("tries again to make its table", async () => {
  const path = files.path("later/memory.db");
  await using memory = await open(`sqlite:${path}`);
  await expect(memory.append(session, [turn("1")], testCall())).rejects.toMatchObject({ code: "NOT_READY" });
  await files.write("later/note", "");
  await memory.append(session, [turn("1")], testCall());
  expect(await collect(memory.read(session, {}, testCall()))).toEqual([turn("1")]);
});
