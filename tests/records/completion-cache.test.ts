import { Redis } from "ioredis";
import { describe, expect, it, vi } from "vitest";
import {
  type Call,
  type CapLLM,
  CapstanError,
  type ChatRequest,
  type Part,
} from "../../src/contracts/index.ts";
import { CompletionCache } from "../../src/records/completions/cache.ts";
import {
  type CompletionStore,
  memoryStore,
  redisStore,
  sqlStore,
} from "../../src/records/completions/stores.ts";
import { openStore } from "../../src/store/database.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { completionStoreSuite } from "../support/completion-stores.ts";
import { TestPostgres } from "../support/postgres.ts";
import { FakeRedis } from "../support/redis.ts";
import { serveLlms } from "../support/scripted-llm.ts";

const MODEL = { name: "m", version: "1", extra: {}, maxBatchSize: 0 };
const PARTS = { ttlMs: 60_000, scope: "shared", log: testCall().log } as const;
const usage = { inputTokens: 1, outputTokens: 2 };
const request = (content: string, more: Partial<ChatRequest> = {}): ChatRequest => ({
  ...{ messages: [{ role: "user", content }], sampling: { temperature: 0 } },
  ...more,
});

/** A model that counts how often it is asked, and waits in the middle of its answers when it is told to. */
function counting(store: CompletionStore = memoryStore(1e6), scope: "shared" | "key" = "shared") {
  const asked: ChatRequest[] = [];
  let middle: Promise<void> | undefined;
  let aborted = 0;
  const llm = {
    async *streamTokens(each: ChatRequest, { signal }: { signal: AbortSignal }): AsyncGenerator<Part> {
      asked.push(each);
      yield { type: "text", choice: 0, text: `a${asked.length}` };
      signal.addEventListener("abort", () => {
        aborted += 1;
      });
      await Promise.race(
        [middle, new Promise((_, no) => signal.addEventListener("abort", () => no(signal.reason)))].slice(
          0,
          middle ? 2 : 1,
        ),
      );
      yield { type: "text", choice: 0, text: "b" };
      yield { type: "finish", choice: 0, reason: "stop", usage };
    },
    async [Symbol.asyncDispose]() {},
  } as CapLLM;
  const warnings: string[] = [];
  const log = { ...testCall().log, warn: (_: object, message: string) => void warnings.push(message) };
  const cache = new CompletionCache({ ...PARTS, store, scope, log });
  const layered = cache.layer(llm, MODEL);
  const ask = async (each: ChatRequest, call = testCall()) => {
    const parts = await collect(layered.streamTokens(each, call));
    return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
  };
  return {
    asked,
    ask,
    cache,
    layered,
    warnings,
    hold: (until: Promise<void>) => (middle = until),
    aborted: () => aborted,
  };
}

describe("kept answers of language models", () => {
  it("are given again, piece by piece, to the same question of the same model", async () => {
    const { ask, asked, layered } = counting();
    expect([await ask(request("x")), await ask(request("x"))]).toEqual(["a1b", "a1b"]);
    expect(await ask(request("y"))).toBe("a2b");
    const call = testCall({ record: {} });
    expect(await collect(layered.streamTokens(request("x"), call))).toHaveLength(3);
    expect(call.record).toMatchObject({ cache: "hit", finish: "stop", firstTokenAt: expect.any(Number) });
    expect(asked).toHaveLength(2);
  });

  it.each([
    ["a conversation", { session: "s" }],
    ["tools", { tools: [{}] }],
    ["several choices", { n: 2 }],
    ["a temperature", { sampling: { temperature: 0.7 } }],
    ["no temperature", { sampling: {} }],
    ["a caller who does not want it", { extra: { cache: false } }],
  ])("are not kept of %s", async (_what, more) => {
    const { ask, asked } = counting();
    await ask(request("x", more));
    await ask(request("x", more));
    expect(asked).toHaveLength(2);
    expect(asked[0]!.extra?.cache).toBeUndefined();
  });

  it("are kept of any answer when the caller asks for it", async () => {
    const { ask, asked } = counting();
    const wanted = request("x", { sampling: { temperature: 1 }, extra: { cache: true, other: 1 } });
    await ask(wanted);
    await ask(wanted);
    expect(asked).toHaveLength(1);
    expect(asked[0]!.extra).toEqual({ other: 1 });
  });

  it("belong to everybody, or to each key", async () => {
    const of = (id: string) => testCall({ principal: { id, role: "r", admin: false } });
    const shared = counting();
    await shared.ask(request("x"), of("a"));
    await shared.ask(request("x"), of("b"));
    expect(shared.asked).toHaveLength(1);
    const own = counting(memoryStore(1e6), "key");
    await own.ask(request("x"), of("a"));
    await own.ask(request("x"), of("b"));
    expect(own.asked).toHaveLength(2);
  });

  it("are made once for those who ask at the same time, and stop with the last of them", async () => {
    const { ask, asked, hold, aborted } = counting();
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    const all = [ask(request("x")), ask(request("x"))];
    await new Promise(setImmediate);
    resolve();
    expect(await Promise.all(all)).toEqual(["a1b", "a1b"]);
    expect(asked).toHaveLength(1);
    hold(new Promise(() => {}));
    const leaving = [new AbortController(), new AbortController()];
    const left = Promise.allSettled(leaving.map(({ signal }) => ask(request("z"), testCall({ signal }))));
    await new Promise((done) => setTimeout(done, 20));
    leaving[0]!.abort(new Error("left"));
    await new Promise((done) => setTimeout(done, 5));
    expect(aborted()).toBe(0);
    leaving[1]!.abort(new Error("left"));
    await left;
    expect(aborted()).toBe(1);
    hold(Promise.resolve());
    expect(await ask(request("z"))).toBe("a3b");
  });

  it("go on for the others when who asked first has left, whatever its deadline was", async () => {
    const { ask, asked, hold, layered, aborted } = counting();
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    const leaving = new AbortController();
    const first = ask(request("x"), testCall({ signal: leaving.signal, deadline: Date.now() + 1 }));
    const iterator = layered.streamTokens(request("x"), testCall())[Symbol.asyncIterator]();
    expect(await iterator.next()).toMatchObject({ value: { text: "a1" } });
    leaving.abort(new Error("left"));
    await expect(first).rejects.toThrow("left");
    resolve();
    expect(await iterator.next()).toMatchObject({ value: { text: "b" } });
    await iterator.return!(undefined);
    expect([asked.length, aborted(), asked[0]]).toEqual([1, 0, request("x")]);
  });

  it("are not waited for by who comes when everybody has left", async () => {
    let winding = Promise.resolve();
    let count = 0;
    const llm = {
      async *streamTokens(_each: ChatRequest, { signal }: Call): AsyncGenerator<Part> {
        const mine = ++count;
        yield { type: "text", choice: 0, text: `a${mine}` };
        if (mine === 1) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await winding;
        signal.throwIfAborted();
        yield { type: "finish", choice: 0, reason: "stop", usage };
      },
      async [Symbol.asyncDispose]() {},
    } as CapLLM;
    const { promise, resolve } = Promise.withResolvers<void>();
    winding = promise;
    const cache = new CompletionCache({ ...PARTS, store: memoryStore(1e6) });
    const layered = cache.layer(llm, MODEL);
    const iterator = layered.streamTokens(request("x"), testCall())[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.return!(undefined);
    const next = collect(layered.streamTokens(request("x"), testCall()));
    await new Promise(setImmediate);
    resolve();
    expect(await next).toMatchObject([{ text: "a2" }, { type: "finish" }]);
    expect(await collect(layered.streamTokens(request("x"), testCall()))).toHaveLength(2);
    expect(count).toBe(2);
  });

  it("fail for all who share one that fails, and are made anew for the next", async () => {
    const { ask, asked, hold, cache } = counting();
    hold(Promise.reject(new CapstanError("UPSTREAM", "broke off")));
    const all = await Promise.allSettled([ask(request("x")), ask(request("x"))]);
    expect(all).toMatchObject([1, 2].map(() => ({ status: "rejected", reason: { code: "UPSTREAM" } })));
    hold(Promise.resolve());
    expect(await ask(request("x"))).toBe("a2b");
    expect([asked.length, cache.counts]).toEqual([2, { hits: 1, misses: 2, stores: 1, failures: 0 }]);
  });

  it.each(["tool_calls", "content_filter", "cancelled"] as const)(
    "are not kept that ended by %s",
    async (reason) => {
      let asked = 0;
      const llm = {
        async *streamTokens(): AsyncGenerator<Part> {
          asked += 1;
          yield { type: "finish", choice: 0, reason, usage };
        },
        async [Symbol.asyncDispose]() {},
      } as CapLLM;
      const layered = new CompletionCache({ ...PARTS, store: memoryStore(1e6) }).layer(llm, MODEL);
      for (let time = 0; time < 2; time++) await collect(layered.streamTokens(request("x"), testCall()));
      expect(asked).toBe(2);
    },
  );

  it("are of one model, version, artifact and settings, and of what was asked", async () => {
    const { cache, ask, asked } = counting();
    await ask(request("x"));
    const more = [
      { name: "other" },
      { version: "2" },
      { artifact: "sha256:2" },
      { extra: { prompt_template: "other" } as never },
    ];
    for (const each of more) {
      let isAsked = false;
      const llm = {
        async *streamTokens(): AsyncGenerator<Part> {
          isAsked = true;
          yield { type: "finish", choice: 0, reason: "stop", usage };
        },
        async [Symbol.asyncDispose]() {},
      } as CapLLM;
      await collect(cache.layer(llm, { ...MODEL, ...each }).streamTokens(request("x"), testCall()));
      expect([each, isAsked]).toEqual([each, true]);
    }
    await ask(request("x", { sampling: { temperature: 0, maxTokens: 5 } }));
    await ask(request("x", { responseFormat: { type: "json_object" } }));
    await ask(request("x", { extra: { other: 1 } }));
    await ask({ messages: [{ role: "system", content: "x" }], sampling: { temperature: 0 } });
    await ask({ prompt: "x", sampling: { temperature: 0 } });
    expect(asked).toHaveLength(6);
    await ask(request("x", { sampling: { maxTokens: 5, temperature: 0 } }));
    expect(asked).toHaveLength(6);
  });

  it("are not kept that were begun before a purge", async () => {
    const { ask, asked, hold, cache } = counting();
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    const answer = ask(request("x"));
    await new Promise(setImmediate);
    await cache.purge("m");
    resolve();
    await answer;
    expect(await ask(request("x"))).toBe("a2b");
    expect(asked).toHaveLength(2);
  });

  it("never fail a request: a store that is away is left alone for a while, and said once to be", async () => {
    const broken = vi.fn(() => Promise.reject(new Error("down")));
    const { ask, cache, warnings } = counting({ get: broken, set: broken, purge: broken });
    expect([await ask(request("x")), await ask(request("y"))]).toEqual(["a1b", "a2b"]);
    await new Promise(setImmediate);
    expect(cache.counts).toMatchObject({ failures: 1, stores: 0 });
    expect([broken.mock.calls.length, warnings]).toEqual([
      1,
      ["kept answers cannot be read; the model is asked"],
    ]);
    await expect(cache.purge()).rejects.toThrow("down");
  });

  it("do not wait for a store that hangs, and let a caller leave who does", async () => {
    const hangs = () => new Promise<never>(() => {});
    const { ask, asked } = counting({ get: hangs, set: hangs, purge: hangs });
    const leaving = new AbortController();
    const left = ask(request("x"), testCall({ signal: leaving.signal }));
    leaving.abort(new Error("left"));
    await expect(left).rejects.toThrow("left");
    expect(asked).toHaveLength(0);
    expect(await ask(request("x"))).toBe("a1b");
  });

  it("of the store in memory have a bound of bytes", async () => {
    const store = memoryStore(2000);
    const parts = (text: string): Part[] => [{ type: "text", choice: 0, text }];
    for (let index = 0; index < 100; index++)
      await store.set(
        { key: `${index}`, model: "m", version: "1", parts: parts("\u20ac".repeat(100)) },
        60_000,
      );
    await store.set({ key: "huge", model: "m", version: "1", parts: parts("x".repeat(3000)) }, 60_000);
    expect(await store.get("huge", "m")).toBeUndefined();
    expect(await store.purge()).toBeLessThanOrEqual(5);
  });
});

describe.each(["sqlite", "redis"])("answers in %s that nobody can read", (kind) => {
  it.each([
    "{",
    "[]",
    "[{}]",
    "null",
    '[{"type":"text","choice":0,"text":"x"}]',
    '[{"type":"finish","choice":0}]',
  ])("are none: %s", async (text) => {
    await using opened = new AsyncDisposableStack();
    const { completions, spoil } = await openStoreOf(kind, opened);
    const { ask, asked, cache, warnings } = counting(completions);
    const stored = (count: number) => vi.waitFor(() => expect(cache.counts.stores).toBe(count));
    await ask(request("x"));
    await stored(1);
    await spoil(text);
    expect([await ask(request("x")), await ask(request("x"))]).toEqual(["a2b", "a2b"]);
    await stored(2);
    await spoil(text);
    await ask(request("x"));
    await stored(3);
    expect([asked.length, cache.counts.failures, warnings.length]).toEqual([3, 2, 1]);
    expect(await completions.purge("m")).toBe(1);
  });
});

async function openStoreOf(kind: string, opened: AsyncDisposableStack) {
  if (kind === "redis") {
    const redis = new Redis(opened.use(await FakeRedis.start()).url);
    opened.defer(() => redis.disconnect());
    const spoil = async (text: string) => {
      for (const key of await redis.keys("capstan:completion:*")) await redis.set(key, text, "PX", 60_000);
    };
    return { completions: redisStore(redis), spoil };
  }
  const { database, migrate } = opened.use(await openStore("sqlite::memory:", "/"));
  await migrate();
  const spoil = async (text: string) =>
    void (await database.updateTable("completion_cache").set({ answer: text }).execute());
  return { completions: sqlStore(database), spoil };
}

completionStoreSuite("memory", async () => memoryStore(1e6));
completionStoreSuite("sqlite", async (opened) => (await openStoreOf("sqlite", opened)).completions);
completionStoreSuite("redis", async (opened) => (await openStoreOf("redis", opened)).completions);
completionStoreSuite("postgres", async (opened) => {
  const { url } = opened.use(await TestPostgres.start());
  const { database, migrate } = opened.use(await openStore(url, "/"));
  await migrate();
  return sqlStore(database);
});

it("is part of a server: headers, bodies, streams and purging", async () => {
  await using served = await serveLlms({ completion_cache: { store: "memory" } });
  const { server } = served;
  const ask = (more: object = {}) =>
    server.request("/v1/generate", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "echo", prompt: "a b", temperature: 0, ...more }),
    });
  const [first, second] = [await ask(), await ask()];
  expect([first.headers.get("x-capstan-cache"), second.headers.get("x-capstan-cache")]).toEqual([
    "miss",
    "hit",
  ]);
  expect(await first.json()).toMatchObject({ cached: false, output: "Echo: a b" });
  expect(await second.json()).toMatchObject({
    cached: true,
    output: "Echo: a b",
    usage: { output_tokens: 3 },
  });
  const stream = await ask({ stream: true });
  expect(stream.headers.get("x-capstan-cache")).toBe("hit");
  expect((await stream.text()).match(/"token"/g)).toHaveLength(3);
  const purged = await server.request("/admin/cache?model=echo", { method: "DELETE" });
  expect(await purged.json()).toEqual({ removed: 1 });
  expect((await ask()).headers.get("x-capstan-cache")).toBe("miss");
  expect((await ask({ temperature: 1 })).headers.get("x-capstan-cache")).toBe("bypass");
});
