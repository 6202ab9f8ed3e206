import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fingerprint } from "../../src/host/streams/credential.ts";
import { eventually } from "../support/eventually.ts";
import { type LlmServer, script, serveLlms } from "../support/scripted-llm.ts";
import { answerOf, EventReader, gatewayTo, type TestGateway } from "./support.ts";

/** A Redis that a test may end and start again. */
export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  /** Ends it as a crash does. */
  crash(): Promise<void>;
  /** Starts it again after a crash, empty, at the same port. */
  restart(): Promise<void>;
}

const WORDS = "a b c d e f g h i j k l";
const query = (prompt: string) => `resume=1&prompt=${encodeURIComponent(prompt)}`;
const numbers = (events: readonly { id?: string }[]) => events.map(({ id }) => Number(id!.split(":").at(-1)));

function connect(url: string): { readonly redis: Redis } & AsyncDisposable {
  const redis = new Redis(url);
  return { redis, [Symbol.asyncDispose]: async () => redis.disconnect() };
}

/** What replicas that share a Redis must do. */
export function testReplicas(start: () => Promise<TestRedis>): void {
  let redis: TestRedis;
  let served: LlmServer;
  let other: LlmServer;
  const gateways: TestGateway[] = [];
  beforeAll(async () => {
    redis = await start();
    const settings = { redis_url: redis.url, resume_grace: "1s" };
    const slow = { version: "1", extra: { framework: "echo", delay_ms: 60 } };
    [served, other] = await Promise.all([serveLlms(settings), serveLlms(settings)]);
    for (const { repository, server } of [served, other]) {
      await repository.write("slow", { name: "slow", implementation: "llm", parameters: slow });
      await server.post("/v2/repository/models/slow/load");
    }
    const upstream = `127.0.0.1:${served.server.running.grpc.port}`;
    gateways.push(await gatewayTo(upstream, settings), await gatewayTo(upstream, settings));
  });
  afterAll(async () => {
    for (const gateway of gateways) await gateway.close();
    await served[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });

  describe.each(["server", "gateway"])("two replicas of the %s and one Redis", (kind) => {
    const url = (replica: number, model: string, text: string) => {
      const server = replica === 0 ? served.server : other.server;
      const base = kind === "server" ? server.url : gateways[replica]!.url;
      return `${base}/v2/models/${model}/stream?${text}`;
    };

    it("go on with each other's streams, without a gap or a double", async () => {
      using first = new EventReader(url(0, "slow", query(WORDS)));
      await first.atLeast(3);
      first.leave();
      using second = new EventReader(url(1, "slow", query(WORDS)), {
        headers: { "last-event-id": first.events.at(-1)!.id! },
      });
      await second.atLeast(3);
      second.leave();
      using third = new EventReader(url(0, "slow", query(WORDS)), {
        headers: { "last-event-id": second.events.at(-1)!.id! },
      });
      await third.ended();
      const events = [first, second, third].flatMap((reader) => reader.events);
      expect(answerOf(events)).toBe(`Echo: ${WORDS}`);
      expect(numbers(events)).toEqual(Array.from({ length: 14 }, (_, index) => index + 1));
      for (const replica of [0, 1]) {
        const headers = { "last-event-id": events.at(-1)!.id! };
        expect((await fetch(url(replica, "slow", query(WORDS)), { headers })).status).toBe(204);
      }
    });

    it("cancel the work when nobody came back to any of them", async () => {
      const before = script.aborted;
      using first = new EventReader(url(0, "scripted", query("forever")));
      const [token] = await first.atLeast(1);
      first.leave();
      using second = new EventReader(url(1, "scripted", `${query("forever")}&last_event_id=${token!.id}`));
      await new Promise((resolve) => setTimeout(resolve, 2000));
      expect(script.aborted).toBe(before);
      second.leave();
      await eventually(() => script.aborted === before + 1);
    });

    it("make the work wait for a client at another replica, and say so to one that is too far behind", async () => {
      await using client = connect(redis.url);
      const { floods } = script;
      const id = `${kind}-flood`;
      using first = new EventReader(url(0, "scripted", query("flood")), { headers: { "x-request-id": id } });
      await first.atLeast(1);
      first.leave();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const [oldest] = await client.redis.xrange(`capstan:stream:{${id}}:events`, "-", "+", "COUNT", 1);
      const seen = Number.parseInt(oldest![0], 10) + 1;
      const before = script.produced;
      using second = new EventReader(url(1, "scripted", `${query("flood")}&last_event_id=${id}:${seen}`));
      expect(numbers(await second.atLeast(30))[0]).toBe(seen + 1);
      await eventually(() => script.produced > before);
      second.leave();
      using late = new EventReader(url(1, "scripted", `${query("flood")}&last_event_id=${id}:1`));
      expect((await late.ended()).events).toMatchObject([{ event: "failure", id: `${id}:lost` }]);
      await eventually(() => script.floods === floods + 1);
      expect(script.produced).toBeLessThan(3000);
    });

    it("take each other's tickets, once, and know who comes back with one", async () => {
      const ask = { method: "POST", headers: { authorization: "Bearer mine" } };
      const answer = await fetch(url(0, "slow", "").replace("stream?", "stream/tickets"), ask);
      const { ticket } = (await answer.json()) as { ticket: string };
      using first = new EventReader(url(1, "slow", `${query("a b c d")}&ticket=${ticket}`));
      const [token] = await first.atLeast(1);
      first.leave();
      expect((await fetch(url(0, "slow", `prompt=a&ticket=${ticket}`))).status).toBe(401);
      const back = `${query("a b c d")}&ticket=${ticket}&last_event_id=${token!.id}`;
      using second = new EventReader(url(0, "slow", back));
      const { events } = await second.ended();
      expect(answerOf([token!, ...events])).toBe("Echo: a b c d");
    });

    it("cancel each other's work, resumable or not, and only that of who began it", async () => {
      const cancel = async (id: string, headers = {}) => {
        const { origin } = new URL(url(1, "scripted", ""));
        return (await fetch(`${origin}/v2/cancel/${id}`, { method: "POST", headers })).status;
      };
      for (const [asked, resumable] of [
        [query("forever"), true],
        ["prompt=forever", false],
      ] as const) {
        const [before, id] = [script.aborted, `${kind}-cancelled-${resumable}`];
        const mine = { authorization: "Bearer mine" };
        using first = new EventReader(url(0, "scripted", asked), {
          headers: { "x-request-id": id, ...mine },
        });
        await first.atLeast(1);
        expect(await cancel("never-was")).toBe(404);
        if (kind === "gateway") expect(await cancel(id, { authorization: "Bearer other" })).toBe(404);
        expect(await cancel(id, mine)).toBe(200);
        await eventually(() => script.aborted === before + 1);
        expect((await first.ended()).events.at(-1)).toMatchObject({
          event: "failure",
          data: expect.stringContaining("CANCELLED"),
        });
        expect(await cancel(id, mine)).toBe(404);
      }
    });

    it("do not begin a stream twice under one id", async () => {
      const headers = { "x-request-id": `${kind}-twice` };
      using first = new EventReader(url(0, "slow", query(WORDS)), { headers });
      await first.atLeast(1);
      expect((await fetch(url(1, "slow", query("b")), { headers })).status).toBe(400);
    });
  });

  it("a producer that died is told of in an event, once", async () => {
    await using client = connect(redis.url);
    const owner = { model: "slow", credential: fingerprint({}) };
    const record = JSON.stringify({ owner, replica: "dead" });
    await client.redis.set("capstan:stream:{orphan}:record", record, "PX", 60_000);
    await client.redis.xadd(
      "capstan:stream:{orphan}:events",
      "1-0",
      "name",
      "token",
      "data",
      '{"text":"one"}',
    );
    const url = `${gateways[0]!.url}/v2/models/slow/stream?${query("a")}&last_event_id=`;
    using reader = new EventReader(`${url}orphan:0`);
    expect((await reader.ended()).events).toEqual([
      { event: "token", id: "orphan:1", data: '{"text":"one"}' },
      { event: "failure", id: "orphan:lost", data: expect.stringMatching(/NOT_FOUND.*is gone/) },
    ]);
    expect((await fetch(`${url}orphan:lost`)).status).toBe(204);
    await client.redis.del("capstan:stream:{orphan}:record", "capstan:stream:{orphan}:events");
  });

  describe("a Redis", () => {
    it("that is away ends only what needs it", async () => {
      const settings = { redis_url: redis.url, resume_grace: "1s" };
      const upstream = `127.0.0.1:${served.server.running.grpc.port}`;
      await using own = await gatewayTo(upstream, settings);
      const base = `${own.url}/v2/models/slow/stream?`;
      using first = new EventReader(base + query(WORDS));
      const [token] = await first.atLeast(2);
      using reading = new EventReader(`${gateways[1]!.url}/v2/models/slow/stream?${query(WORDS)}`, {
        headers: { "last-event-id": token!.id! },
      });
      await reading.atLeast(1);
      await redis.crash();
      expect((await reading.ended()).events.at(-1)).toMatchObject({
        event: "failure",
        id: expect.stringMatching(/:lost$/),
      });
      expect((await first.ended()).events.at(-1)).toMatchObject({ event: "done" });
      const refused = await fetch(base + query("a"));
      expect([refused.status, await refused.json()]).toEqual([
        503,
        { error: expect.stringMatching(/Redis at 127.*does not answer/) },
      ]);
      expect((await fetch(`${own.url}/v2/models/slow/stream/tickets`, { method: "POST" })).status).toBe(503);
      expect((await fetch(`${base}resume=1&last_event_id=x:1`)).status).toBe(503);
      using without = new EventReader(`${base}prompt=a`);
      expect(answerOf((await without.ended()).events)).toBe("Echo: a");
      await using late = await gatewayTo(upstream, settings);
      await redis.restart();
      for (const gateway of [own, late]) {
        await eventually(async () => {
          using again = new EventReader(`${gateway.url}/v2/models/slow/stream?${query("a")}`);
          return (await again.ended()).status === 200;
        });
      }
    });

    it("keeps nothing of what is over, and never a credential", async () => {
      await using client = connect(redis.url);
      const headers = { authorization: "Bearer open-secret" };
      const base = `${gateways[0]!.url}/v2/models/slow/stream`;
      const issued = await fetch(`${base}/tickets`, { method: "POST", headers });
      const { ticket } = (await issued.json()) as { ticket: string };
      using reader = new EventReader(`${base}?${query(WORDS)}&ticket=${ticket}`);
      await reader.atLeast(2);
      const records = await client.redis.keys("capstan:stream:*:record");
      const texts = await Promise.all(records.map((key) => client.redis.get(key)));
      expect(texts).not.toEqual([]);
      expect(texts.join()).not.toMatch(/open-secret/);
      expect(texts.join()).not.toContain(ticket);
      await reader.ended();
      await eventually(async () => (await client.redis.keys("capstan:stream:*")).length === 0);
    });
  });
}
