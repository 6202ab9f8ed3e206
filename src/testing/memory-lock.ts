import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { Call, MemoryStore, Session, Turn } from "../contracts/index.ts";
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

/** What a store that locks its sessions must do, between its openings as within one. Others pass. */
export function lockCases(
  open: Opened<MemoryStore>,
  expire: ((session: Session) => Promise<void>) | undefined,
): ContractCase[] {
  const test = caseWithTwo(open);
  const cases = [
    test("gives the lock of a session to one at a time", async (one, other) => {
      const session = newSession();
      const call = testCall();
      const first = await lock(one, session, call);
      const second = watched(lock(other, session, call));
      const within = watched(lock(one, session, call));
      await using _ = await lock(other, newSession(), call);
      assert.ok(!second.settled && !within.settled, "a lock was given while another held it");
      await first[Symbol.asyncDispose]();
      await first[Symbol.asyncDispose]();
      const next = await Promise.race([second.work, within.work]);
      assert.ok(!(second.settled && within.settled), "a lock was given twice");
      await next[Symbol.asyncDispose]();
      for (const held of await Promise.all([second.work, within.work])) await held[Symbol.asyncDispose]();
      assertNoListeners(call);
    }),
    test("stops waiting for a lock when aborted", async (one, other) => {
      const session = newSession();
      const [before, within] = [abortedCall(), abortableCall()];
      await rejectsWithReason(lock(one, session, before.call), before);
      await using held = await lock(one, session);
      const waiting = lock(other, session, within.call);
      within.abort();
      await rejectsWithReason(waiting, within);
      await held[Symbol.asyncDispose]();
      await using _ = await lock(other, session);
    }),
    test("lets the holder of a lock write", async (one) => {
      const session = newSession();
      await using _ = await lock(one, session);
      await one.append(session, [turn("1")], testCall());
      assert.equal((await collect(one.read(session, {}, testCall()))).length, 1);
    }),
  ];
  return expire === undefined ? cases : [...cases, fencedCase(open, expire)];
}

/** A process that stood still for longer than its lock was good must not write into another's turn. */
function fencedCase(open: Opened<MemoryStore>, expire: (session: Session) => Promise<void>): ContractCase {
  return caseWithTwo(open)(
    "refuses what is written under a lock that another has by now",
    async (one, other) => {
      const session = newSession();
      await using late = await lock(one, session);
      await expire(session);
      await using _ = await lock(other, session);
      await rejectsWithCode(one.append(session, [turn("late")], testCall()), "NOT_READY");
      await late[Symbol.asyncDispose]();
      const third = watched(lock(one, session));
      await other.append(session, [turn("1")], testCall());
      assert.ok(!third.settled, "the late holder gave away a lock that was not its own");
      const kept = await collect(other.read(session, {}, testCall()));
      assert.deepEqual(
        kept.map(({ id }) => id),
        ["1"],
      );
      await _[Symbol.asyncDispose]();
      await (await third.work)[Symbol.asyncDispose]();
    },
  );
}

type CheckTwo = (one: MemoryStore, other: MemoryStore) => Promise<void>;

/** A case with two openings of a store, as two replicas have; it passes where the store has no lock. */
export function caseWithTwo(open: Opened<MemoryStore>): (name: string, check: CheckTwo) => ContractCase {
  return (name, check) => ({
    name,
    async run() {
      await using one = await open();
      if (one.lock === undefined) return;
      await using other = await open();
      await check(one, other);
    },
  });
}

export function lock(
  memory: MemoryStore,
  session: Session,
  call: Call = testCall(),
): Promise<AsyncDisposable> {
  return memory.lock!(session, call);
}

/** Whether some work has an end yet. */
export function watched<T>(work: Promise<T>): { readonly work: Promise<T>; readonly settled: boolean } {
  const state = { work, settled: false };
  const settle = () => {
    state.settled = true;
  };
  work.then(settle, settle);
  return state;
}

export function newSession(): Session {
  return { owner: randomUUID(), id: randomUUID() };
}

export function turn(id: string): Turn {
  return { id, at: 0, messages: [{ role: "user", content: id }] };
}
