import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CapLLM, ChatRequest, Part } from "../../src/contracts/index.ts";
import { CompletionCache } from "../../src/records/completions/cache.ts";
import { type CompletionStore, memoryStore, sqlStore } from "../../src/records/completions/stores.ts";
import { openStore, type Store } from "../../src/store/database.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { TestPostgres } from "../support/postgres.ts";
import { serveLlms } from "../support/scripted-llm.ts";

const MODEL = { name: "m", version: "1", extra: {}, maxBatchSize: 0 };
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
  const cache = new CompletionCache({ store, ttlMs: 60_000, scope, log: testCall().log });
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

  it("never fail a request: a store that is broken is not asked twice for one", async () => {
    const broken = () => Promise.reject(new Error("down"));
    const { ask, cache } = counting({ get: broken, set: broken, purge: broken });
    expect(await ask(request("x"))).toBe("a1b");
    await new Promise(setImmediate);
    expect(cache.failures).toBe(2);
  });
});

describe.each(["memory", "sqlite", "postgres"])("the store in %s", (kind) => {
  let postgres: TestPostgres | undefined;
  let store: Store | undefined;
  let completions: CompletionStore;
  beforeAll(async () => {
    postgres = kind === "postgres" ? await TestPostgres.start() : undefined;
    store = kind === "memory" ? undefined : await openStore(postgres?.url ?? "sqlite::memory:", "/");
    await store?.migrate();
    completions = store === undefined ? memoryStore(1e6) : sqlStore(store.database);
  });
  afterAll(async () => {
    await store?.[Symbol.asyncDispose]();
    await postgres?.[Symbol.asyncDispose]();
  });

  it("keeps, forgets with time, and is purged by model", async () => {
    const parts: Part[] = [{ type: "text", choice: 0, text: "x" }];
    await completions.set({ key: "a", model: "m", version: "1", parts }, 60_000);
    await completions.set({ key: "a", model: "m", version: "1", parts }, 60_000);
    await completions.set({ key: "b", model: "n", version: "1", parts }, 60_000);
    await completions.set({ key: "c", model: "n", version: "1", parts }, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await completions.get("a")).toEqual(parts);
    expect(await completions.get("c")).toBeUndefined();
    expect(await completions.get("ghost")).toBeUndefined();
    expect(await completions.purge("m")).toBe(1);
    expect(await completions.get("a")).toBeUndefined();
    expect(await completions.get("b")).toEqual(parts);
    await completions.purge();
    expect(await completions.get("b")).toBeUndefined();
  });
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
  expect((await ask({ temperature: 1 })).headers.get("x-capstan-cache")).toBeNull();
});
