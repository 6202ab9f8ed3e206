import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Ledger } from "../../src/access/ledger.ts";
import { Quotas } from "../../src/access/limits/quotas.ts";
import { UNLIMITED } from "../../src/access/role.ts";
import { openStore } from "../../src/store/database.ts";
import { ADMIN, modelsForKeys, TestAccess } from "../support/access.ts";
import { eventually } from "../support/eventually.ts";
import { TestPostgres } from "../support/postgres.ts";
import { FakeRedis } from "../support/redis.ts";
import type { TestRepository } from "../support/server.ts";
import { StallingProxy } from "../support/stalling-proxy.ts";

/** Nothing listens there. */
const redis_url = "redis://127.0.0.1:1";
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

interface Entry {
  readonly id: string;
  readonly tokens: number;
}
const entry = (tokens: number, id = "k"): Entry => ({ id, tokens });

function ledgerOf(write: (entries: readonly Entry[]) => Promise<void>, log: typeof SILENT): Ledger<Entry> {
  const sum = (one: Entry, other: Entry) => entry(one.tokens + other.tokens, one.id);
  return new Ledger({ name: "quotas", idOf: ({ id }) => id, sum, write, delayMs: 0 }, log);
}

let repository: TestRepository;
beforeAll(async () => {
  repository = await modelsForKeys();
});
afterAll(() => repository[Symbol.asyncDispose]());

describe("without Redis", () => {
  const start = (on_redis_down: string) =>
    TestAccess.start(repository.root, `sqlite:${repository.path(`${on_redis_down}.db`)}`, {
      redis_url,
      on_redis_down,
    });

  it("each replica has limits of its own, when the settings say local", async () => {
    await using access = await start("local");
    const { key } = await access.keyWith({ requestsPerMinute: 2, concurrency: 2 });
    const answers = await Promise.all([1, 2, 3].map(() => access.chat(key)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 429]);
    expect(await (await access.server.request("/metrics")).text()).toMatch(/^capstan_redis_up 0$/m);
  });

  it("limited requests are refused, when they say closed", async () => {
    await using access = await start("closed");
    for (const limits of [{ requestsPerMinute: 2 }, { tokensPerMinute: 500 }, { concurrency: 2 }]) {
      const { key } = await access.keyWith(limits);
      const refused = await access.chat(key);
      expect(refused.status).toBe(503);
      expect(await refused.text()).toMatch(/Redis does not answer \(on_redis_down\)/);
    }
    const { key } = await access.keyWith({ requestsPerMonth: 1 });
    expect((await access.chat(key)).status).toBe(200);
  });
});

it("a Redis that hangs is one that is away", async () => {
  await using redis = await FakeRedis.start();
  const settings = { redis_url: redis.url };
  await using access = await TestAccess.start(
    repository.root,
    `sqlite:${repository.path("hangs.db")}`,
    settings,
  );
  const up = async () => /^capstan_redis_up 1$/m.test(await (await access.server.request("/metrics")).text());
  await eventually(up);
  redis.hang();
  const { key } = await access.keyWith({ requestsPerMinute: 100, concurrency: 9 });
  expect((await access.chat(key)).status).toBe(200);
  await eventually(async () => !(await up()));
});

describe("without the database", () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await TestPostgres.start();
  });
  afterAll(() => postgres[Symbol.asyncDispose]());

  it("that hangs, requests go on as without it", async () => {
    const direct = new URL(postgres.url);
    await using proxy = await StallingProxy.start(Number(direct.port));
    const through = new URL(direct);
    through.port = String(proxy.port);
    await using access = await TestAccess.start(repository.root, through.href);
    const made = await access.keyWith({ requestsPerMonth: 12 });
    expect((await access.chat(made.key)).status).toBe(200);
    proxy.stall();
    const statuses: number[] = [];
    for (let asked = 1; asked < 12; asked++) statuses.push((await access.chat(made.key)).status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect((await access.chat(made.key)).status).toBe(429);
    proxy.resume();
    await eventually(async () => (await access.quota(made)).requests === 12);
  });

  it("no request fails when it is killed under load, and quotas hold", async () => {
    await using access = await TestAccess.start(repository.root, postgres.url);
    const limits = { requestsPerMinute: 10_000, concurrency: 50, tokensPerMonth: 1_000_000 };
    const [most, few] = [
      await access.keyWith({ ...limits, requestsPerMonth: 10_000 }),
      await access.keyWith({ requestsPerMonth: 30 }),
    ];
    const statuses: number[] = [];
    const ask = async (key: string, requests: number) => {
      for (let asked = 0; asked < requests; asked++) {
        const answer = await access.chat(key);
        statuses.push(answer.status);
        await answer.text();
      }
    };
    await ask(few.key, 20);
    expect(await access.usage(few)).toHaveLength(1);
    const load = Promise.all([1, 2, 3, 4].map(() => ask(most.key, 100)));
    await eventually(() => statuses.length > 100);
    await postgres.kill();
    await load;
    await ask(few.key, 10);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(statuses).toHaveLength(430);
    expect((await access.chat(few.key)).status).toBe(429);
    expect((await access.get(ADMIN, "/admin/keys")).status).toBe(503);
    await postgres.restart();
    await eventually(async () => (await access.quota(few)).requests === 30);
    expect((await access.quota(few)).tokens).toBe(30 * 5);
    expect((await access.chat(few.key)).status).toBe(429);
    const [row] = await access.usage(most);
    // A statement whose answer was lost may have been written: it is written again, and never lost.
    expect(Number(row!.requests)).toBeGreaterThanOrEqual(400);
  });

  it("a month goes on from what was seen of it, and what passed is written later", async () => {
    const url = `sqlite:${repository.path("away.db")}`;
    const store = await openStore(url, "/");
    await store.migrate();
    const { database } = store;
    await using quotas = new Quotas(database, SILENT);
    const limits = { ...UNLIMITED, name: "r", requestsPerMonth: 3, tokensPerMonth: 100 };
    const month = await quotas.reserve("k", limits, { requests: 1, tokens: 40 });
    await rename("quotas", "away");
    expect(await quotas.reserve("k", limits, { requests: 1, tokens: 40 })).toBe(month);
    const refused = { code: "QUOTA_EXCEEDED" };
    await expect(quotas.reserve("k", limits, { requests: 1, tokens: 40 })).rejects.toMatchObject(refused);
    quotas.settle("k", month, { requests: 0, tokens: -30 });
    await quotas.reserve("k", limits, { requests: 1, tokens: 40 });
    await expect(quotas.reserve("k", limits, { requests: 1, tokens: 0 })).rejects.toMatchObject(refused);
    await rename("away", "quotas");
    await eventually(async () => (await counts()).requests === 3);
    expect(await counts()).toEqual({ key_id: "k", month, requests: 3, tokens: 90 });
    await expect(quotas.reserve("k", limits, { requests: 1, tokens: 0 })).rejects.toMatchObject(refused);
    await quotas[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();

    /** A table that is not there fails as a database that is away does. */
    async function rename(from: string, to: string): Promise<void> {
      await database.schema.alterTable(from).renameTo(to).execute();
    }
    function counts() {
      return database.selectFrom("quotas").selectAll().executeTakeFirstOrThrow();
    }
  });

  it("what is to be put right is kept, added up, and written later", async () => {
    const written: Entry[] = [];
    const error = vi.fn();
    let isDown = true;
    const write = async (entries: readonly Entry[]) => {
      if (isDown) throw new Error("away");
      written.push(...entries);
    };
    await using ledger = ledgerOf(write, { ...SILENT, error });
    ledger.enter(entry(5));
    await ledger.flush();
    ledger.enter(entry(7));
    await ledger.flush();
    expect([ledger.behind, error.mock.calls.length]).toEqual([true, 1]);
    isDown = false;
    await eventually(() => written.length > 0);
    expect([ledger.behind, written]).toEqual([false, [entry(12)]]);
  });

  it("what was written of many is not written twice", async () => {
    const written: Entry[] = [];
    const write = async (entries: readonly Entry[]) => {
      if (written.length === 1000) throw new Error("away");
      written.push(...entries);
    };
    const ledger = ledgerOf(write, SILENT);
    for (let id = 0; id < 1500; id++) ledger.enter(entry(1, String(id)));
    await ledger.flush();
    written.pop();
    await ledger.flush();
    expect(written).toHaveLength(1499);
    await ledger[Symbol.asyncDispose]();
  });

  it("says at the end what is lost", async () => {
    const error = vi.fn();
    const ledger = ledgerOf(() => Promise.reject(new Error("away")), { ...SILENT, error });
    ledger.enter(entry(5));
    await ledger[Symbol.asyncDispose]();
    expect(error).toHaveBeenLastCalledWith({ lost: [entry(5)] }, "quotas could not be written");
  });
});
