import assert from "node:assert/strict";
import type { BegunTurn, Call, MemoryStore, Session, Turn } from "../contracts/index.ts";
import { collect, testCall } from "./call.ts";
import {
  abortableCall,
  abortedCall,
  assertNoListeners,
  type ContractCase,
  type Opened,
  rejectsWithCode,
  rejectsWithReason,
} from "./checks.ts";
import { caseWithTwo, lock, newSession, turn, watched } from "./memory-lock.ts";

/** What a store that begins and ends turns at once must do. Others pass. */
export function turnCases(
  open: Opened<MemoryStore>,
  expire: ((session: Session) => Promise<void>) | undefined,
): ContractCase[] {
  const test = casesOf(open);
  const cases = [
    test("begins a turn with the newest turns, and ends it with another", async (one, other) => {
      const [session, call] = [newSession(), testCall()];
      await one.append(session, ["1", "2", "3"].map(turn), call);
      await using begun = await begin(one, session, 2, call);
      assert.deepEqual(begun.turns, ["2", "3"].map(turn));
      await begun.end([turn("4")], call);
      await using next = await begin(other, session, undefined, call);
      assert.deepEqual(next.turns, ["1", "2", "3", "4"].map(turn));
      assertNoListeners(call);
    }),
    test("begins the turn of a session that never was, and keeps none of what it read for 0", async (one) => {
      const session = newSession();
      await using first = await begin(one, session);
      assert.deepEqual(first.turns, []);
      await first.end([turn("1"), turn("1")], testCall());
      await using none = await begin(one, session, 0);
      assert.deepEqual(none.turns, []);
      await none.end([], testCall());
      assert.deepEqual(await read(one, session), [turn("1")]);
    }),
    test("begins one turn at a time, and none under a lock", async (one, other) => {
      const session = newSession();
      const first = await begin(one, session);
      const [waiting, locking] = [watched(begin(other, session)), watched(lock(one, session))];
      await using _ = await begin(other, newSession());
      assert.ok(!waiting.settled && !locking.settled, "a session was given while another had it");
      await first.end([turn("1")], testCall());
      const next = await Promise.race([waiting.work, locking.work]);
      assert.ok(!(waiting.settled && locking.settled), "a session was given twice");
      await next[Symbol.asyncDispose]();
      assert.deepEqual((await waiting.work).turns, [turn("1")]);
      for (const held of [await waiting.work, await locking.work]) await held[Symbol.asyncDispose]();
      await first[Symbol.asyncDispose]();
    }),
    test("gives a session on, unchanged, when a turn is disposed", async (one, other) => {
      const session = newSession();
      await (await begin(one, session))[Symbol.asyncDispose]();
      await using next = await begin(other, session);
      assert.deepEqual(next.turns, []);
    }),
    test("stops waiting for a turn when aborted, and ends none then", async (one, other) => {
      const session = newSession();
      const [before, within] = [abortedCall(), abortableCall()];
      await rejectsWithReason(begin(one, session, undefined, before.call), before);
      const begun = await begin(one, session);
      const waiting = begin(other, session, undefined, within.call);
      within.abort();
      await rejectsWithReason(waiting, within);
      await rejectsWithReason(begun.end([turn("1")], before.call), before);
      await begun[Symbol.asyncDispose]();
      await using next = await begin(other, session);
      assert.deepEqual(next.turns, []);
    }),
    test("refuses the turn of a session without a name with INVALID_ARGUMENT", async (one) => {
      await rejectsWithCode(begin(one, { ...newSession(), id: "" }), "INVALID_ARGUMENT");
    }),
  ];
  return expire === undefined ? cases : [...cases, fencedCase(open, expire)];
}

/** As with a lock: who stood still for too long must not write into another's turn, nor end it. */
function fencedCase(open: Opened<MemoryStore>, expire: (session: Session) => Promise<void>): ContractCase {
  return casesOf(open)("refuses to end a turn when another has begun one by now", async (one, other) => {
    const session = newSession();
    await using late = await begin(one, session);
    await expire(session);
    await using newer = await begin(other, session);
    await rejectsWithCode(late.end([turn("late")], testCall()), "NOT_READY");
    await late[Symbol.asyncDispose]();
    const third = watched(begin(one, session));
    await newer.end([turn("1")], testCall());
    await using last = await third.work;
    assert.deepEqual(last.turns, [turn("1")]);
  });
}

function casesOf(open: Opened<MemoryStore>): typeof test {
  const withTwo = caseWithTwo(open);
  const test = (name: string, check: Parameters<typeof withTwo>[1]) =>
    withTwo(name, async (one, other) => {
      if (one.beginTurn !== undefined) await check(one, other);
    });
  return test;
}

function begin(
  memory: MemoryStore,
  session: Session,
  last?: number,
  call: Call = testCall(),
): Promise<BegunTurn> {
  return memory.beginTurn!(session, last === undefined ? {} : { last }, call);
}

function read(memory: MemoryStore, session: Session): Promise<Turn[]> {
  return collect(memory.read(session, {}, testCall()));
}
