import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import inProcess from "../../memory/in-process.ts";
import type { MemoryStore, Session, Turn } from "../../src/contracts/index.ts";
import { collect, memoryContract, testCall, testHost } from "../../src/testing/index.ts";

describe("contract", () => {
  for (const { name, run } of memoryContract(inProcess, { options: { ttl: "7d" } })) it(name, run);
});

const owner = "ann";

function open(max_sessions: number, ttl?: string): Promise<MemoryStore> {
  return inProcess.open({ max_sessions, ttl }, testHost());
}

function turn(id: string): Turn {
  return { id, at: 0, messages: [{ role: "user", content: id }] };
}

function add(memory: MemoryStore, id: string): Promise<void> {
  return memory.append({ owner, id }, [turn("1")], testCall());
}

async function ids(memory: MemoryStore): Promise<string[]> {
  const sessions: Session[] = await collect(memory.sessions!(owner, testCall()));
  return sessions.map(({ id }) => id);
}

it.each([
  [{ max_sessions: 0 }, "max_sessions"],
  [{ ttl: "a while" }, "ttl"],
  [{ ttl: "-7d" }, "ttl"],
  [{ ttl: "" }, "ttl"],
  [{ ttl: 60 }, "ttl"],
])("refuses %j", (options, key) => {
  const result = inProcess.options.safeParse(options);
  expect(result).toMatchObject({ success: false, error: { issues: [{ path: [key] }] } });
});

it("forgets the session used longest ago when there are too many", async () => {
  await using memory = await open(2);
  await add(memory, "a");
  await add(memory, "b");
  await collect(memory.read({ owner, id: "a" }, {}, testCall()));
  await add(memory, "c");
  expect(await ids(memory)).toEqual(["a", "c"]);
});

it("does not begin a session without a turn", async () => {
  await using memory = await open(2);
  await memory.append({ owner, id: "a" }, [], testCall());
  expect(await ids(memory)).toEqual([]);
});

it("stores none of the turns when one cannot be stored", async () => {
  await using memory = await open(2);
  const endless: unknown[] = [];
  endless.push(endless);
  const bad = { ...turn("2"), messages: [{ role: "user" as const, content: [{ type: "x", endless }] }] };
  await expect(memory.append({ owner, id: "a" }, [turn("1"), bad], testCall())).rejects.toThrow(/circular/);
  expect(await ids(memory)).toEqual([]);
});

describe("ttl", () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ["Date"] }));
  afterEach(() => vi.useRealTimers());

  it("counts from the last use", async () => {
    await using memory = await open(10, "1h");
    await add(memory, "a");
    await add(memory, "b");
    vi.advanceTimersByTime(40 * 60_000);
    await collect(memory.read({ owner, id: "a" }, {}, testCall()));
    vi.advanceTimersByTime(40 * 60_000);
    expect(await ids(memory)).toEqual(["a"]);
    expect(await collect(memory.read({ owner, id: "b" }, {}, testCall()))).toEqual([]);
  });

  it("is endless by default", async () => {
    await using memory = await open(10);
    await add(memory, "a");
    vi.advanceTimersByTime(1e12);
    expect(await ids(memory)).toEqual(["a"]);
  });
});
