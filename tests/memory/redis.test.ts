import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import redis from "../../memory/redis/index.ts";
import { keysOf } from "../../memory/redis/keys.ts";
import type { MemoryStore, Session, Turn } from "../../src/contracts/index.ts";
import { collect, memoryContract, testCall, testHost } from "../../src/testing/index.ts";
import { ScriptServer } from "./redis-server.ts";

const PREFIX = "test:";
let server: ScriptServer;
beforeAll(async () => {
  server = await ScriptServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const session: Session = { owner: "ann", id: "talk" };
const turn: Turn = { id: "1", at: 1, messages: [] };
const open = (url = server.url): Promise<MemoryStore> => redis.open({ url, prefix: PREFIX }, testHost());

describe("contract, with a Redis in this process", () => {
  const expireLock = async (locked: Session) => server.expire(keysOf(PREFIX, locked).lock);
  const later = { ...redis, open: () => open() };
  for (const { name, run } of memoryContract(later, { options: { url: "redis://later" }, expireLock }))
    it(name, run);
});

describe("a lock", () => {
  afterEach(() => vi.useRealTimers());

  it("is renewed while it is held, and not any more when it is another's", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    await using memory = await open();
    await using _ = await memory.lock!(session, testCall());
    await vi.advanceTimersByTimeAsync(3000);
    await memory.append(session, [turn], testCall());
    expect(vi.getTimerCount()).toBe(1);
    server.expire(keysOf(PREFIX, session).lock);
    await vi.advanceTimersByTimeAsync(3000);
    await vi.waitFor(() => expect(vi.getTimerCount()).toBe(0));
  });

  it("is given back by a store that is closed, and by a caller who left while it was given", async () => {
    const memory = await open();
    await memory.lock!(session, testCall());
    await memory[Symbol.asyncDispose]();
    await using other = await open();
    const aborted = new AbortController();
    const taking = other.lock!(session, testCall({ signal: aborted.signal }));
    const reason = new Error("left");
    aborted.abort(reason);
    await expect(taking).rejects.toBe(reason);
    await using _ = await other.lock!(session, testCall());
  });
});

it("is left by a caller whose answer does not come", async () => {
  await using memory = await open();
  await memory.append(session, [turn], testCall());
  server.silent = true;
  const aborted = new AbortController();
  const reading = collect(memory.read(session, {}, testCall({ signal: aborted.signal })));
  const reason = new Error("left");
  aborted.abort(reason);
  await expect(reading).rejects.toBe(reason);
  server.silent = false;
});

it("opens while Redis is away, and does not repeat the password", async () => {
  await using memory = await open("redis://user:sesame@127.0.0.1:1");
  const error = await collect(memory.read(session, {}, testCall())).catch((thrown: Error) => thrown);
  const message = expect.stringMatching(/^The memory in Redis at 127.0.0.1:1 does not answer: /);
  expect(error).toMatchObject({ code: "NOT_READY", message });
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("sesame");
});

it("has all keys of an owner in one slot of a cluster", () => {
  const tag = (key: string) => /\{(.+?)\}/.exec(key)?.[1];
  const keys = Object.values(keysOf("p:", session));
  expect(new Set(keys.map(tag)).size).toBe(1);
  expect(tag(keys[0]!)).not.toBe(tag(keysOf("p:", { ...session, owner: "bob" }).turns));
});

it.each([
  [{ url: "http://h" }, "url"],
  [{ url: "here" }, "url"],
  [{ url: undefined }, "url"],
  [{ ttl: "a while" }, "ttl"],
  [{ ttl: "" }, "ttl"],
  [{ prefix: "{a}:" }, "prefix"],
])("refuses %j", (option, key) => {
  const result = redis.options.safeParse({ url: "redis://h", ...option });
  expect(result).toMatchObject({ success: false, error: { issues: [{ path: [key] }] } });
});
