import { describe, expect, it } from "vitest";
import { Advances } from "../../src/access/limits/advances.ts";
import { Quotas } from "../../src/access/limits/quotas.ts";
import { type Role, UNLIMITED } from "../../src/access/role.ts";
import { openStore } from "../../src/store/database.ts";
import type { Database } from "../../src/store/tables.ts";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

const one = { requests: 1, tokens: 10 };

describe("shares taken in advance", () => {
  it("are a thousandth of what is left, and at most 32 times what is wanted", () => {
    expect(Advances.beyond(one, { requests: 5000, tokens: 1e9 })).toEqual({ requests: 5, tokens: 50 });
    expect(Advances.beyond(one, { requests: 1e9, tokens: 70_000 })).toEqual({ requests: 7, tokens: 70 });
    expect(Advances.beyond(one, { requests: 1e9, tokens: 1e9 })).toEqual({ requests: 32, tokens: 320 });
    expect(Advances.beyond(one, { requests: 999, tokens: 1e9 })).toBeUndefined();
  });

  it("are taken from until there is not enough of both", () => {
    const advances = new Advances();
    advances.add("a", { requests: 2, tokens: 15 });
    expect([advances.take("b", one), advances.take("a", one), advances.take("a", one)]).toEqual([
      false,
      true,
      false,
    ]);
    expect([...advances.release(true)]).toEqual([["a", { requests: 1, tokens: 5 }]]);
  });

  it("are let go of when nobody took from them", () => {
    const advances = new Advances();
    advances.add("a", one);
    expect([...advances.release(false)]).toEqual([]);
    expect([...advances.release(false)]).toEqual([["a", one]]);
    expect([...advances.release(true)]).toEqual([]);
  });
});

describe("a month with plenty", () => {
  const role: Role = { ...UNLIMITED, name: "r", admin: false, requestsPerMonth: 10_000 };
  const counts = (database: Database) =>
    database.selectFrom("quotas").select("requests").executeTakeFirstOrThrow();

  it("is taken of by few statements, and holds what was used when its replica has stopped", async () => {
    await using store = await openStore("sqlite::memory:", "/");
    await store.migrate();
    const quotas = new Quotas(store.database, SILENT);
    for (let request = 0; request < 25; request++) {
      await quotas.reserve("k", role, { requests: 1, tokens: 0 });
    }
    // The first by itself, as nothing had been seen of the month, and then three of 1 + 9.
    expect(await counts(store.database)).toEqual({ requests: 31 });
    await quotas[Symbol.asyncDispose]();
    expect(await counts(store.database)).toEqual({ requests: 25 });
  });

  it("is shared exactly by replicas at its end", async () => {
    await using store = await openStore("sqlite::memory:", "/");
    await store.migrate();
    await using one = new Quotas(store.database, SILENT);
    await using other = new Quotas(store.database, SILENT);
    let passed = 0;
    for (let turn = 0; turn < 10_100; turn++) {
      const replica = turn % 2 === 0 ? one : other;
      await replica.reserve("k", role, { requests: 1, tokens: 0 }).then(
        () => passed++,
        (error) => expect(error.code).toBe("QUOTA_EXCEEDED"),
      );
    }
    expect(passed).toBe(10_000);
  });

  it("is taken of at once where the requests at the same time are more than is left", async () => {
    await using store = await openStore("sqlite::memory:", "/");
    await store.migrate();
    await using quotas = new Quotas(store.database, SILENT);
    await quotas.reserve("k", role, { requests: 1, tokens: 0 });
    const asked = Array.from({ length: 10_050 }, () => quotas.reserve("k", role, { requests: 1, tokens: 0 }));
    const settled = await Promise.allSettled(asked);
    expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(9999);
  });
});
