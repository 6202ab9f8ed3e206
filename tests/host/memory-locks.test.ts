import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keysOf } from "../../memory/redis/keys.ts";
import type { Session, Turn } from "../../src/contracts/index.ts";
import { SessionLocks } from "../../src/host/memory/session-locks.ts";
import { SharedStore } from "../../src/host/memory/shared-store.ts";
import { testCall } from "../../src/testing/index.ts";
import { ScriptServer } from "../memory/redis-server.ts";
import { eventually } from "../support/eventually.ts";
import { Files } from "../support/files.ts";
import { resetTable, table, WRITTEN_BEHIND } from "../support/written-behind.ts";

const session: Session = { owner: "ann", id: "talk" };
const turn = (id: string): Turn => ({ id, at: 1, messages: [{ role: "user", content: id }] });

let files: Files;
let redis: ScriptServer;
let opened: AsyncDisposableStack;
beforeEach(async () => {
  opened = new AsyncDisposableStack();
  files = opened.use(await Files.create());
  redis = opened.use(await ScriptServer.start());
  await files.write("behind.ts", WRITTEN_BEHIND);
  resetTable();
});
afterEach(() => opened.disposeAsync());

/** The store as one replica has it. */
function replica(url: string | null): SharedStore {
  const locks = opened.use(new SessionLocks(url));
  return opened.use(new SharedStore("Memory 'chats'", { store: "./behind.ts" }, files.root, locks));
}

async function say(store: SharedStore, id: string): Promise<string[]> {
  const call = testCall();
  await using begun = await store.begin(session, undefined, call);
  const before = await begun.read(undefined, call);
  await begun.end([turn(id)], call);
  return before.map((each) => each.id);
}

describe("a store that replicas share and that has no lock", () => {
  it("is locked in Redis until what was said is written", async () => {
    const [one, other] = [replica(redis.url), replica(redis.url)];
    const { promise, resolve } = Promise.withResolvers<void>();
    table().written = promise;
    await say(one, "1");
    let answered = false;
    const next = say(other, "2").finally(() => {
      answered = true;
    });
    const impatient = testCall({ signal: AbortSignal.timeout(100) });
    await expect(other.begin({ ...session }, undefined, impatient)).rejects.toThrow(/timeout/);
    await expect(
      one.begin({ ...session }, undefined, testCall({ signal: AbortSignal.timeout(100) })),
    ).rejects.toThrow(/timeout/);
    expect(answered).toBe(false);
    resolve();
    expect(await next).toEqual(["1"]);
    await eventually(() => table().rows.length === 2);
  });

  it("is not written by a replica that stood still for too long", async () => {
    const [late, other] = [replica(redis.url), replica(redis.url)];
    await using begun = await late.begin(session, undefined, testCall());
    redis.expire(keysOf("capstan:turn:", session).lock);
    await using _ = await other.begin(session, undefined, testCall());
    await expect(begun.end([turn("late")], testCall())).rejects.toMatchObject({ code: "NOT_READY" });
  });

  it("has turns of one replica only where there is no Redis", async () => {
    const one = replica(null);
    await Promise.all(["1", "2", "3"].map((id) => say(one, id)));
    await eventually(() => table().rows.length === 3);
    expect(table().rows.map(({ id }) => id)).toEqual(["1", "2", "3"]);
  });

  it("says that Redis does not answer, and gives up its locks when it is closed", async () => {
    const away = replica("redis://127.0.0.1:1");
    await expect(say(away, "1")).rejects.toMatchObject({
      code: "NOT_READY",
      message: expect.stringMatching(/^Memory 'chats' cannot be used: .*127\.0\.0\.1:1/),
    });
    const locks = new SessionLocks(redis.url);
    const one = new SharedStore("Memory 'chats'", { store: "./behind.ts" }, files.root, locks);
    table().written = new Promise(() => {});
    await say(one, "1");
    await one[Symbol.asyncDispose]();
    await locks[Symbol.asyncDispose]();
    await using _ = await replica(redis.url).begin(session, undefined, testCall());
    expect(table().rows).toEqual([]);
  });
});
