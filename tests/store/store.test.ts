import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { databaseAddress, shownAddress } from "../../src/store/address.ts";
import { openStore } from "../../src/store/database.ts";
import { postgresPool } from "../../src/store/postgres-pool.ts";
import { TestPostgres } from "../support/postgres.ts";
import { StallingProxy } from "../support/stalling-proxy.ts";

let folder: string;
let postgres: TestPostgres;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan-store-"));
  postgres = await TestPostgres.start();
});
afterAll(async () => {
  await postgres[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

describe("a database's address", () => {
  it.each([
    ["sqlite:./a.db", "/f/a.db"],
    ["sqlite:a.db", "/f/a.db"],
    ["sqlite:/x/a.db", "/x/a.db"],
    ["sqlite+aiosqlite:///a.db", "/f/a.db"],
    ["sqlite:////x/a.db", "/x/a.db"],
    ["sqlite://", ":memory:"],
    ["sqlite::memory:", ":memory:"],
  ])("%s", (url, path) => {
    expect(databaseAddress(url, "/f")).toEqual({ kind: "sqlite", path });
  });

  it("names a Postgres server, with its password left out where it is shown", () => {
    const address = databaseAddress("postgresql+asyncpg://u:p@host:5/name", "/f");
    expect(address).toEqual({ kind: "postgres", url: "postgres://u:p@host:5/name" });
    expect(shownAddress(address)).toBe("postgres://host:5/name");
    expect(shownAddress(databaseAddress("sqlite:a.db", "/f"))).toBe("sqlite:/f/a.db");
  });

  it.each(["mysql://u:secret@h/n", "postgres://u:secret@[/n", "postgres://u:secret@h:port/n"])(
    "is nothing else, and a refusal does not repeat it: %s",
    (url) => {
      const message = /^auth\.database_url: must be sqlite:path or (?!.*secret)/;
      expect(() => databaseAddress(url, "/f")).toThrow(message);
    },
  );
});

it("a connection over which nothing comes any more is given up, and the next query has another", async () => {
  const direct = new URL(postgres.url);
  await using proxy = await StallingProxy.start(Number(direct.port));
  direct.port = String(proxy.port);
  const pool = postgresPool(direct.href, 300);
  await pool.query("SELECT 1");
  proxy.stall();
  await expect(pool.query("SELECT 1")).rejects.toThrow();
  proxy.resume();
  expect((await pool.query<{ n: number }>("SELECT 2 AS n")).rows).toEqual([{ n: 2 }]);
  await pool.end();
});

it.each(["sqlite:/nowhere/x.db", "postgres://u:secret@127.0.0.1:1/records"])(
  "a database that cannot be opened is named, without its password: %s",
  async (url) => {
    await using store = await openStore(url, folder);
    const named = new RegExp(`^The database ${store.address} .*auth\\.database_url, DATABASE_URL`);
    for (const use of [() => store.migrate(), () => store.revert(), () => store.migrations()])
      await expect(use()).rejects.toThrow(named);
    expect(store.address).not.toContain("secret");
  },
);

describe.each(["sqlite", "postgres"] as const)("the schema on %s", (kind) => {
  const open = () => openStore(kind === "sqlite" ? "sqlite:records.db" : postgres.url, folder);

  it("goes up, is known, and goes down", async () => {
    await using store = await open();
    expect(store.kind).toBe(kind);
    expect(await store.migrations()).toEqual([{ name: "0001-first" }]);
    expect(await store.migrate()).toEqual([{ name: "0001-first", direction: "Up" }]);
    expect(await store.migrate()).toEqual([]);
    expect(await store.migrations()).toEqual([{ name: "0001-first", appliedAt: expect.any(Date) }]);
    expect(await store.revert()).toEqual([{ name: "0001-first", direction: "Down" }]);
    expect(await store.migrations()).toEqual([{ name: "0001-first" }]);
  });

  it("goes up once when several processes start at the same time", async () => {
    const stores = await Promise.all([open(), open(), open()]);
    const done = await Promise.all(stores.map((store) => store.migrate()));
    expect(done.flat()).toHaveLength(1);
    await stores[0]!.revert();
    for (const store of stores) await store[Symbol.asyncDispose]();
  });

  it("keeps what is written, times as numbers", async () => {
    await using store = await open();
    await store.migrate();
    const at = Date.now();
    const role = {
      ...{ name: "basic", models: '["*"]', rpm: 5, tpm: null, concurrency: null, max_tokens: null },
      ...({ requests_per_month: 2 ** 40, tokens_per_month: null, admin: 0, created_at: at } as const),
    };
    await store.database.insertInto("roles").values(role).execute();
    expect(await store.database.selectFrom("roles").selectAll().execute()).toEqual([role]);
    const { numUpdatedRows } = await store.database
      .updateTable("roles")
      .set({ rpm: 6 })
      .where("name", "=", "basic")
      .where("rpm", "<", 6)
      .executeTakeFirstOrThrow();
    expect(numUpdatedRows).toBe(1n);
    await store.revert();
  });
});
