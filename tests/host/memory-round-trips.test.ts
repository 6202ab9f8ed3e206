import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptServer } from "../memory/redis-server.ts";
import { type RecallServer, serveRecall, Talker } from "../support/recall.ts";

let redis: ScriptServer;
let opened: AsyncDisposableStack;
beforeEach(async () => {
  opened = new AsyncDisposableStack();
  redis = opened.use(await ScriptServer.start());
});
afterEach(() => opened.disposeAsync());

async function serveOn(window: object): Promise<RecallServer> {
  return opened.use(await serveRecall({ store: "redis", url: redis.url, window }));
}

/** The scripts that are run meanwhile, each a round trip. */
async function ranBy(work: () => Promise<unknown>): Promise<readonly string[]> {
  const before = redis.ran.length;
  await work();
  return redis.ran.slice(before);
}

describe("a turn of a session in Redis", () => {
  it.each([{}, { turns: 2 }, { tokens: 100 }])("is two round trips, with the window %j", async (window) => {
    const { server } = await serveOn(window);
    const talker = new Talker(server, "recall");
    await talker.says("my name is Ann", "a");
    const ran = await ranBy(async () => expect(await talker.says("who am I?", "a")).toBe("You are Ann"));
    expect(ran).toEqual(["beginTurn", "endTurn"]);
    expect(await talker.turns("a")).toHaveLength(2);
  });

  it("that fails is begun and released", async () => {
    const { server } = await serveOn({});
    const talker = new Talker(server, "recall");
    const ran = await ranBy(() => expect(talker.says("break", "a")).rejects.toThrow("It broke"));
    expect(ran).toEqual(["beginTurn", "releaseLock"]);
    expect(await talker.turns("a")).toEqual([]);
  });

  it("whose client leaves is begun and released", async () => {
    const { server } = await serveOn({});
    const talker = new Talker(server, "recall");
    const leaving = new AbortController();
    const body = {
      model: "recall",
      messages: [{ role: "user", content: "wait" }],
      conversation: "a",
      stream: true,
    };
    const answer = await fetch(`${server.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: leaving.signal,
    });
    await answer.body!.getReader().read();
    leaving.abort();
    expect(await talker.says("who am I?", "a")).toBe("You are a stranger");
    expect(redis.ran.filter((name) => name !== "beginTurn")).toEqual(["releaseLock", "endTurn"]);
  });

  it("that answers a tool reads on only for the question", async () => {
    const { server } = await serveOn({ turns: 1 });
    const talker = new Talker(server, "recall");
    await talker.says("weather?", "a");
    const result = { role: "tool", tool_call_id: "c1", content: "my name is Sunny" };
    expect(await ranBy(() => talker.says([result], "a"))).toEqual(["beginTurn", "endTurn"]);
    const ran = await ranBy(() => talker.says("who am I?", "a"));
    expect(ran).toEqual(["beginTurn", "readTurns", "endTurn"]);
  });
});
