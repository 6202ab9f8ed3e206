import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Correction, Ledger } from "../../src/access/limits/ledger.ts";
import { Quotas } from "../../src/access/limits/quotas.ts";
import { UNLIMITED } from "../../src/access/role.ts";
import { openStore } from "../../src/store/database.ts";
import { modelsForKeys, TestAccess } from "../support/access.ts";
import { eventually } from "../support/eventually.ts";
import type { TestRepository } from "../support/server.ts";

/** Nothing listens there. */
const redis_url = "redis://127.0.0.1:1";
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const now = (tokens: number): Correction => ({ key_id: "k", month: "2026-11", requests: 0, tokens });

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

describe("without the database", () => {
  it("quotas cannot be had, and that is no internal error", async () => {
    const store = await openStore("sqlite::memory:", "/");
    await using quotas = new Quotas(store.database, SILENT);
    const limits = { ...UNLIMITED, name: "r", requestsPerMonth: 1 };
    await expect(quotas.reserve("k", limits, { requests: 1, tokens: 0 })).rejects.toMatchObject({
      code: "NOT_READY",
      message: expect.stringMatching(/database does not answer/),
    });
    await store[Symbol.asyncDispose]();
  });

  it("what is to be put right is kept, added up, and written later", async () => {
    const written: Correction[] = [];
    const error = vi.fn();
    let isDown = true;
    const write = async (corrections: readonly Correction[]) => {
      if (isDown) throw new Error("away");
      written.push(...corrections);
    };
    await using ledger = new Ledger(write, { ...SILENT, error });
    ledger.enter(now(5));
    await ledger.flush();
    ledger.enter(now(7));
    await ledger.flush();
    expect(error).toHaveBeenCalledTimes(1);
    isDown = false;
    await eventually(() => written.length > 0);
    expect(written).toEqual([now(12)]);
  });

  it("says at the end what is lost", async () => {
    const error = vi.fn();
    const ledger = new Ledger(() => Promise.reject(new Error("away")), { ...SILENT, error });
    ledger.enter(now(5));
    await ledger[Symbol.asyncDispose]();
    expect(error).toHaveBeenLastCalledWith({ corrections: [now(5)] }, "quotas could not be put right");
  });
});
