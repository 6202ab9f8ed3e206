import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RunningCalls } from "../../src/host/running.ts";
import { BrowserStreams } from "../../src/host/streams/index.ts";
import { testCall } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";
import { FakeRedis } from "../support/redis.ts";

let opened: AsyncDisposableStack;
let redis: FakeRedis;
let client: Redis;
beforeEach(async () => {
  opened = new AsyncDisposableStack();
  redis = opened.use(await FakeRedis.start());
  client = new Redis(redis.url);
  opened.defer(() => client.disconnect());
});
afterEach(() => opened.disposeAsync());

/** The calls of one replica, which hears the others by then. */
async function replica(): Promise<RunningCalls> {
  const running = new RunningCalls();
  const hearing = Number(await client.publish("capstan:cancel", "?"));
  const settings = { redis_url: redis.url, resume_grace: 1000, drain_timeout: 1 };
  opened.use(await BrowserStreams.open(settings, testCall().log, running));
  await eventually(async () => Number(await client.publish("capstan:cancel", "?")) === hearing + 1);
  return running;
}

function add(running: RunningCalls, requestId: string, owner: string): string[] {
  const reasons: string[] = [];
  running.add({ requestId, owner, cancel: (reason) => reasons.push(reason) });
  return reasons;
}

describe("a call of another replica", () => {
  it("is cancelled for its owner only", async () => {
    const [one, two, three] = [await replica(), await replica(), await replica()];
    const [mine, other] = [add(three, "a", "ann"), add(two, "a", "bob")];
    expect(await one.cancel("a", "eve")).toBe(false);
    expect(await one.cancel("b", "ann")).toBe(false);
    expect([mine, other]).toEqual([[], []]);
    expect(await one.cancel("a", "ann")).toBe(true);
    expect([mine, other]).toEqual([["The caller cancelled the request"], []]);
  });

  it("is not asked for where the call is here", async () => {
    const [one, two] = [await replica(), await replica()];
    const [here, there] = [add(one, "a", "ann"), add(two, "a", "ann")];
    expect(await one.cancel("a", "ann")).toBe(true);
    expect([here.length, there.length]).toEqual([1, 0]);
  });

  it("is not found where a replica does not answer, whatever else is said", async () => {
    const one = await replica();
    const silent = opened.use(new DisposableRedis(redis.url));
    await silent.redis.subscribe("capstan:cancel");
    for (const message of ["null", "nonsense", '{"number":1}', '{"from":"x","number":1}']) {
      await client.publish("capstan:cancel", message);
    }
    expect(await one.cancel("a", "ann")).toBe(false);
  });

  it("cannot be known of while Redis is away, and can be once it is back", async () => {
    const [one, two] = [await replica(), await replica()];
    const reasons = add(two, "a", "ann");
    await redis.crash();
    await expect(one.cancel("a", "ann")).rejects.toMatchObject({
      code: "NOT_READY",
      message: expect.stringMatching(/^Redis at 127.* does not answer, and cancelling .* needs it$/),
    });
    await redis.restart();
    await eventually(async () => one.cancel("a", "ann").catch(() => false));
    expect(reasons).toHaveLength(1);
  });
});

class DisposableRedis implements Disposable {
  readonly redis: Redis;

  constructor(url: string) {
    this.redis = new Redis(url);
  }

  [Symbol.dispose](): void {
    this.redis.disconnect();
  }
}
