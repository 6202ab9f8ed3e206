import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AccessRecords } from "../../../src/access/records.ts";
import { type Role, UNLIMITED } from "../../../src/access/role.ts";
import { LLMService } from "../../../src/grpc/generated/services.ts";
import { openStore, type Store } from "../../../src/store/database.ts";
import type { TestRedis } from "../../gateway/replicas.ts";
import { bearer, modelsForKeys, type TestKey } from "../../support/access.ts";
import { eventually } from "../../support/eventually.ts";
import { codeName, TestClient } from "../../support/grpc.ts";
import { openStream } from "../../support/grpc-llm.ts";
import { TestPostgres } from "../../support/postgres.ts";
import type { TestRepository } from "../../support/server.ts";
import { startRedis } from "../gateway/peers.ts";
import { Replica } from "./process.ts";

let redis: TestRedis;
let postgres: TestPostgres;
let repository: TestRepository;
beforeAll(async () => {
  redis = await startRedis();
  postgres = await TestPostgres.start();
  repository = await modelsForKeys();
});
afterAll(async () => {
  for (const each of [redis, postgres, repository]) await each[Symbol.asyncDispose]();
});

const messages = [{ role: "user", content: "one two" }];

function chat(replica: Replica, key: string, more: object = {}): Promise<Response> {
  return fetch(`${replica.http}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...bearer(key) },
    body: JSON.stringify({ model: "echo", messages, max_tokens: 5, ...more }),
  });
}

const count = <T>(values: readonly T[], wanted: T) => values.filter((value) => value === wanted).length;

describe.each(["sqlite", "postgres"])("two replicas that share Redis and %s", (kind) => {
  const replicas: Replica[] = [];
  const clients: TestClient[] = [];
  let store: Store;
  let records: AccessRecords;
  beforeAll(async () => {
    const url = kind === "sqlite" ? `sqlite:${repository.path("replicas.db")}` : postgres.url;
    await start(url, "local");
    await start(url, "local");
    store = await openStore(url, "/");
    records = new AccessRecords(store.database);
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    for (const replica of replicas) await replica[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });

  async function start(DATABASE_URL: string, CAPSTAN_ON_REDIS_DOWN: string): Promise<Replica> {
    const env = { DATABASE_URL, CAPSTAN_ON_REDIS_DOWN, CAPSTAN_AUTH__ENABLED: "true", REDIS_URL: redis.url };
    const replica = await Replica.start(repository.root, env);
    replicas.push(replica);
    clients.push(new TestClient(replica.grpc));
    return replica;
  }

  let roles = 0;
  async function keyWith(limits: Partial<Role>): Promise<TestKey> {
    const name = `role-${roles++}`;
    await records.setRole({ ...UNLIMITED, admin: false, ...limits, name });
    return records.createKey(name);
  }

  const statuses = (key: string, requests: number, more: object = {}) =>
    Promise.all(
      Array.from(
        { length: requests },
        async (_, place) => (await chat(replicas[place % 2]!, key, more)).status,
      ),
    );

  async function codes(key: string, requests: number): Promise<string[]> {
    const request = { model: "echo", messages, maxTokens: 5 };
    const ask = (place: number) =>
      clients[place % 2]!.unary(LLMService.ChatCompletion, request, { headers: bearer(key) });
    const answers = await Promise.all(Array.from({ length: requests }, (_, place) => ask(place)));
    return answers.map(({ code }) => codeName(code));
  }

  it("let exactly 20 of 50 requests pass at a monthly quota of 20, over HTTP and gRPC", async () => {
    const http = await statuses((await keyWith({ requestsPerMonth: 20 })).key, 50);
    expect([count(http, 200), count(http, 429)]).toEqual([20, 30]);
    const grpc = await codes((await keyWith({ requestsPerMonth: 20 })).key, 50);
    expect([count(grpc, "OK"), count(grpc, "RESOURCE_EXHAUSTED")]).toEqual([20, 30]);
    const { key } = await keyWith({ requestsPerMonth: 20 });
    const [some, others] = await Promise.all([statuses(key, 25), codes(key, 25)]);
    expect(count(some, 200) + count(others, "OK")).toBe(20);
  });

  it("share requests and tokens of a minute, and requests at once", async () => {
    expect(count(await statuses((await keyWith({ requestsPerMinute: 5 })).key, 12), 200)).toBe(5);
    expect(count(await codes((await keyWith({ requestsPerMinute: 5 })).key, 12), "OK")).toBe(5);
    const { key } = await keyWith({ concurrency: 3 });
    expect(count(await statuses(key, 8, { model: "slow" }), 200)).toBe(3);
    expect(count(await statuses(key, 3), 200)).toBe(3);
    const tokens = await keyWith({ tokensPerMinute: 20 });
    expect((await chat(replicas[0]!, tokens.key)).status).toBe(200);
    // What an answer did not use is given back just after it.
    await eventually(async () => {
      const refused = await chat(replicas[1]!, tokens.key, { max_tokens: 18 });
      expect(refused.status).toBe(429);
      return refused.headers.get("x-ratelimit-remaining-tokens") === "15";
    });
  });

  it("follow a role that is changed within a second", async () => {
    const { key, id } = await keyWith({});
    expect(new Set(await statuses(key, 2))).toEqual(new Set([200]));
    const name = (await records.key(id)).role;
    const changed = performance.now();
    await records.setRole({ ...UNLIMITED, admin: false, name, models: ["iris"] });
    for (const replica of replicas) await eventually(async () => (await chat(replica, key)).status === 403);
    // The half second that a role is believed for, and as much for two busy processors.
    expect(performance.now() - changed).toBeLessThan(2000);
    expect(new Set(await codes(key, 2))).toEqual(new Set(["PERMISSION_DENIED"]));
  });

  it("refuse a revoked key within a second, open streams included", async () => {
    const { key, id } = await keyWith({});
    const asked = { model: "slow", stream: true, messages: [{ role: "user", content: "w ".repeat(2000) }] };
    const streams = await Promise.all(
      replicas.map((replica) => chat(replica, key, { ...asked, max_tokens: 1900 })),
    );
    const ended = Promise.all(streams.map((stream) => stream.text()));
    const request = { ...asked, prompt: "", maxTokens: 1900 };
    const overGrpc = clients
      .slice(0, 2)
      .map((client) => openStream(client, "ChatCompletionStream", request, { headers: bearer(key) }));
    for (const { headers } of overGrpc) await headers;
    const revoked = performance.now();
    await records.revoke(id);
    for (const text of await ended) expect(text).toMatch(/was revoked/);
    for (const { end } of overGrpc)
      expect(await end).toEqual({ code: "CANCELLED", details: expect.stringMatching(/was revoked/) });
    for (const replica of replicas) await eventually(async () => (await chat(replica, key)).status === 401);
    // The half second that a key is believed for, and as much for two busy processors.
    expect(performance.now() - revoked).toBeLessThan(2000);
    expect(new Set(await codes(key, 2))).toEqual(new Set(["UNAUTHENTICATED"]));
  });

  it("follow the setting when Redis dies in between, and say so once", async () => {
    const closed = await start(
      kind === "sqlite" ? `sqlite:${repository.path("replicas.db")}` : postgres.url,
      "closed",
    );
    const { key } = await keyWith({ requestsPerMinute: 3, concurrency: 9 });
    expect((await chat(closed, key)).status).toBe(200);
    const [local] = replicas as [Replica];
    const tokens = await keyWith({ tokensPerMinute: 60 });
    const long = [{ role: "user", content: "w ".repeat(40) }];
    const running = await chat(local, tokens.key, {
      ...{ model: "slow", stream: true },
      ...{ messages: long, max_tokens: 30 },
    });
    await redis.crash();
    await running.text();
    // What the stream did not use was Redis', and is nothing to give back here.
    const after = await chat(local, tokens.key);
    expect(after.headers.get("x-ratelimit-remaining-tokens")).toBe("53");
    await eventually(async () => (await chat(closed, key)).status === 503);
    expect(await (await chat(closed, key)).text()).toMatch(/Redis does not answer/);
    const alone = await Promise.all(Array.from({ length: 6 }, async () => (await chat(local, key)).status));
    expect([count(alone, 200), count(alone, 429)]).toEqual([3, 3]);
    const metrics = await fetch(`${local.http}/metrics`);
    expect(await metrics.text()).toMatch(/^capstan_redis_up 0$/m);
    const free = await keyWith({});
    expect((await chat(closed, free.key)).status).toBe(200);
    const complaints = () =>
      local.said.filter((message) => message.startsWith("Redis does not answer: limits follow"));
    await eventually(() => complaints().length > 0);
    await redis.restart();
    await eventually(async () => (await chat(closed, key)).status === 200);
    expect(complaints()).toHaveLength(1);
  });
});
