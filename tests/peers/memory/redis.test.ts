import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import redisMemory from "../../../memory/redis/index.ts";
import { keysOf } from "../../../memory/redis/keys.ts";
import type { MemoryStore, Session, Turn } from "../../../src/contracts/index.ts";
import { collect, memoryContract, testCall, testHost } from "../../../src/testing/index.ts";
import { eventually } from "../../support/eventually.ts";
import { Files } from "../../support/files.ts";
import { addRecall, Talker } from "../../support/recall.ts";
import { serve, TestRepository, type TestServer } from "../../support/server.ts";
import { resetTable, WRITTEN_BEHIND } from "../../support/written-behind.ts";
import { startRedis } from "../gateway/peers.ts";

const PREFIX = "test:";
let redis: Awaited<ReturnType<typeof startRedis>>;
let admin: Redis;
beforeAll(async () => {
  redis = await startRedis();
  admin = new Redis(redis.url);
});
afterAll(async () => {
  admin?.disconnect();
  await redis?.[Symbol.asyncDispose]();
});

const open = (more: { ttl?: string; url?: string } = {}): Promise<MemoryStore> =>
  redisMemory.open({ url: redis.url, prefix: PREFIX, ...more }, testHost());
const newSession = (): Session => ({ owner: randomUUID(), id: randomUUID() });
const turn = (id: string): Turn => ({ id, at: 1, messages: [{ role: "user", content: id }] });
const read = (memory: MemoryStore, session: Session) => collect(memory.read(session, {}, testCall()));

describe("contract", () => {
  const later = { ...redisMemory, open: () => open() };
  const expireLock = async (session: Session) => void (await admin.del(keysOf(PREFIX, session).lock));
  const options = { url: "redis://later" };
  for (const { name, run } of memoryContract(later, { options, expireLock })) it(name, run);
});

describe("a session with a time to live", () => {
  it("is forgotten after it, and lives on as long as it is used", async () => {
    await using memory = await open({ ttl: "400ms" });
    const [used, left] = [newSession(), newSession()];
    const owner = used.owner;
    for (const session of [used, { ...left, owner }]) await memory.append(session, [turn("1")], testCall());
    for (let waited = 0; waited < 3; waited++) {
      await sleep(250);
      expect(await read(memory, used)).toHaveLength(1);
    }
    expect(await read(memory, { ...left, owner })).toEqual([]);
    expect(await collect(memory.sessions!(owner, testCall()))).toEqual([used]);
    await eventually(
      async () =>
        (
          await admin.keys(
            `${PREFIX}*${createHash("sha256").update(JSON.stringify(owner)).digest("base64url")}*`,
          )
        ).length === 0,
    );
  });

  it("keeps for ever what has none any more", async () => {
    const session = newSession();
    await using short = await open({ ttl: "1h" });
    await short.append(session, [turn("1")], testCall());
    const { turns } = keysOf(PREFIX, session);
    expect(await admin.pttl(turns)).toBeGreaterThan(3_500_000);
    await using endless = await open();
    await read(endless, session);
    expect(await admin.pttl(turns)).toBe(-1);
  });
});

it("keeps all keys of a session in one slot of a cluster", async () => {
  const keys = Object.values(keysOf(PREFIX, newSession()));
  const slots = await Promise.all(
    keys.map((key) => admin.call("CLUSTER", "KEYSLOT", key).catch(() => tagOf(key))),
  );
  expect(new Set(slots).size).toBe(1);
});

const tagOf = (key: string) => /\{(.+?)\}/.exec(key)?.[1];

describe("round trips", () => {
  const trips = async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await admin.info("commandstats"))![1]);
  const tripsOf = async (work: () => Promise<unknown>) => {
    const before = await trips();
    await work();
    return (await trips()) - before;
  };

  it("are one for a read, one for an append, and two for a whole turn", async () => {
    await using memory = await open();
    const session = newSession();
    const call = testCall();
    const aTurn = async (id: string) => {
      await using begun = await memory.beginTurn!(session, { last: 2 }, call);
      await begun.end([turn(id)], call);
      return begun.turns.map((each) => each.id);
    };
    await memory.append(session, [turn("0")], call);
    expect(await read(memory, session)).toHaveLength(1);
    expect(await aTurn("1")).toEqual(["0"]);
    expect(await tripsOf(() => memory.append(session, [turn("2"), turn("3")], call))).toBe(1);
    expect(await tripsOf(() => read(memory, session))).toBe(1);
    expect(await tripsOf(async () => expect(await aTurn("4")).toEqual(["2", "3"]))).toBe(2);
  });

  it("renew a session's time to live at both ends of a turn, and keep the fence longer", async () => {
    await using memory = await open({ ttl: "1h" });
    const session = newSession();
    await memory.append(session, [turn("0")], testCall());
    const keys = keysOf(PREFIX, session);
    const shorten = () => Promise.all([keys.turns, keys.order].map((key) => admin.pexpire(key, 60_000)));
    await shorten();
    await using begun = await memory.beginTurn!(session, {}, testCall());
    expect(await admin.pttl(keys.turns)).toBeGreaterThan(3_500_000);
    expect(await admin.pttl(keys.lock)).toBeGreaterThan(0);
    await shorten();
    await begun.end([turn("1")], testCall());
    expect(await admin.pttl(keys.order)).toBeGreaterThan(3_500_000);
    expect(await admin.exists(keys.lock)).toBe(0);
    expect(await admin.pttl(keys.fence)).toBeGreaterThan(3_600_000);
  });
});

describe("two servers and one Redis", () => {
  async function withServers(
    work: (servers: TestServer[], repository: TestRepository, settings: object) => Promise<void>,
  ) {
    await using repository = await TestRepository.create();
    await addRecall(repository, "recall", "chats");
    const settings = { memory: { chats: { store: "redis", url: redis.url, prefix: `${randomUUID()}:` } } };
    await using one = await serve(repository.root, settings);
    await using two = await serve(repository.root, settings);
    await work([one, two], repository, settings);
  }

  it("share sessions, take turns in them, and remember across a restart", async () => {
    await withServers(async ([one, two], repository, settings) => {
      const talkers = [new Talker(one!, "recall"), new Talker(two!, "recall")];
      await talkers[0]!.says("my name is Ann", "shared");
      expect(await talkers[1]!.says("who am I?", "shared")).toBe("You are Ann");
      await Promise.all([0, 1, 0, 1].map((at) => talkers[at]!.says("slowly", "shared")));
      const seen = await talkers[0]!.sees("shared");
      expect(seen.map((text) => text.split(":")[0])).toEqual([
        ...Array(6).fill(["user", "assistant"]).flat(),
        "user",
      ]);
      await one![Symbol.asyncDispose]();
      await using again = await serve(repository.root, settings as Record<string, unknown>);
      expect(await new Talker(again, "recall").says("who am I?", "shared")).toBe("You are Ann");
    });
  });

  it("take turns in the server's Redis where the store has no lock, each when the last is written", async () => {
    await using repository = await TestRepository.create();
    await using files = await Files.create({ "behind.ts": WRITTEN_BEHIND });
    await addRecall(repository, "recall", "chats");
    const settings = { redis_url: redis.url, memory: { chats: { store: files.path("behind.ts") } } };
    const { promise, resolve } = Promise.withResolvers<void>();
    resetTable(promise);
    await using one = await serve(repository.root, settings);
    await using two = await serve(repository.root, settings);
    await new Talker(one, "recall").says("my name is Ann", "behind");
    let isAnswered = false;
    const next = new Talker(two, "recall").says("who am I?", "behind").finally(() => {
      isAnswered = true;
    });
    await sleep(300);
    expect(isAnswered).toBe(false);
    resolve();
    expect(await next).toBe("You are Ann");
  });

  it("refuse what has a session while Redis is away, answer the rest, and go on when it is back", async () => {
    await withServers(async ([one]) => {
      const talker = new Talker(one!, "recall");
      await talker.says("my name is Ann", "away");
      await redis.crash();
      const error = await talker.says("who am I?", "away").catch(String);
      expect(error).toMatch(
        /503 Memory 'chats' cannot be used: The memory in Redis at 127.0.0.1:\d+ does not answer/,
      );
      expect(await talker.says("who am I?")).toBe("You are a stranger");
      await redis.restart();
      await eventually(() => talker.says("my name is Bob", "away").catch(() => undefined));
      expect(await talker.says("who am I?", "away")).toBe("You are Bob");
    });
  });
});

it("opens while Redis is away, and does not repeat the password", async () => {
  await using memory = await open({ url: "redis://user:sesame@127.0.0.1:1" });
  const error = await read(memory, newSession()).catch((thrown: Error) => thrown);
  expect(error).toMatchObject({ code: "NOT_READY", message: expect.stringContaining("127.0.0.1:1") });
  const wrong = await open({ url: redis.url.replace("//", "//user:sesame@") });
  const refused = await read(wrong, newSession()).catch((thrown: Error) => thrown);
  await wrong[Symbol.asyncDispose]();
  for (const each of [error, refused]) {
    expect(JSON.stringify(each, Object.getOwnPropertyNames(each))).not.toContain("sesame");
  }
});
