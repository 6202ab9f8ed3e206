import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { Host, MemoryPlugin, MemoryStore, Session, Turn } from "../contracts/index.ts";
import { collect, testCall, testHost } from "./call.ts";
import {
  abortedCall,
  assertNoListeners,
  type ContractCase,
  caseWith,
  disposalCases,
  type Opened,
  optionCases,
  parseOptions,
  rejectsWithCode,
  rejectsWithReason,
} from "./checks.ts";
import { lockCases } from "./memory-lock.ts";
import { turnCases } from "./memory-turn.ts";

export interface MemoryFixture {
  /** As in a memory's settings, without `store`. */
  readonly options?: unknown;
  readonly host?: Host;
  /** Ends the hold of whoever has a session's lock, as when its time ran out. For stores that lock. */
  expireLock?(session: Session): Promise<void>;
}

/**
 * What every memory store must do: `for (const c of memoryContract(plugin, fixture)) it(c.name, c.run)`.
 * Each case uses sessions of its own, so the store behind it may be shared.
 */
export function memoryContract<O>(plugin: MemoryPlugin<O>, fixture: MemoryFixture = {}): ContractCase[] {
  const open: Opened<MemoryStore> = async () =>
    plugin.open(parseOptions(plugin, fixture.options), fixture.host ?? testHost());
  return [
    ...optionCases(plugin, fixture.options),
    ...readCases(open),
    ...appendCases(open),
    ...sessionCases(open),
    ...nameCases(open),
    ...abortCases(open),
    ...lockCases(open, fixture.expireLock),
    ...turnCases(open, fixture.expireLock),
    ...disposalCases(open),
  ];
}

function readCases(open: Opened<MemoryStore>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("reads turns as they were written, oldest first", async (memory) => {
      const [session, turns] = [newSession(), [everyKindOfMessage(), turn("b"), turn("a")]];
      await memory.append(session, turns.slice(0, 1), testCall());
      await memory.append(session, turns.slice(1), testCall());
      assert.deepEqual(await read(memory, session), turns);
    }),
    test("reads the newest turns with `last`", async (memory) => {
      const session = newSession();
      await memory.append(session, ["1", "2", "3"].map(turn), testCall());
      assert.deepEqual(await read(memory, session, 2), [turn("2"), turn("3")]);
      assert.deepEqual(await read(memory, session, 9), [turn("1"), turn("2"), turn("3")]);
      assert.deepEqual(await read(memory, session, 0), []);
    }),
    test("reads nothing from a session that never was", async (memory) => {
      assert.deepEqual(await read(memory, newSession()), []);
    }),
    test("lets a reader leave early", async (memory) => {
      const session = newSession();
      const call = testCall();
      await memory.append(session, ["1", "2"].map(turn), call);
      for await (const first of memory.read(session, {}, call)) {
        assert.deepEqual(first, turn("1"));
        break;
      }
      assertNoListeners(call);
    }),
  ];
}

function appendCases(open: Opened<MemoryStore>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("keeps a turn id once, as it was first", async (memory) => {
      const session = newSession();
      await memory.append(session, [turn("1"), turn("2")], testCall());
      await memory.append(session, [{ ...turn("1"), messages: [] }, turn("3")], testCall());
      assert.deepEqual(await read(memory, session), ["1", "2", "3"].map(turn));
    }),
    test("stores none of the turns when one cannot be stored", async (memory) => {
      const session = newSession();
      const endless: unknown[] = [];
      endless.push(endless);
      const bad = { ...turn("2"), messages: [{ role: "user" as const, content: [{ type: "x", endless }] }] };
      await assert.rejects(memory.append(session, [turn("1"), bad], testCall()));
      assert.deepEqual(await read(memory, session), []);
    }),
    test("stores nothing of no turns", async (memory) => {
      const session = newSession();
      await memory.append(session, [], testCall());
      assert.deepEqual(await read(memory, session), []);
    }),
    test("keeps every one of concurrent turns", async (memory) => {
      const session = newSession();
      const ids = Array.from({ length: 20 }, (_, i) => String(i).padStart(2, "0"));
      await Promise.all(ids.map((id) => memory.append(session, [turn(id)], testCall())));
      const kept = (await read(memory, session)).map(({ id }) => id);
      assert.deepEqual(kept.sort(), ids);
    }),
    test("keeps what it was given, whatever becomes of the caller's objects", async (memory) => {
      const session = newSession();
      const messages = [{ role: "user" as const, content: "as written" }];
      await memory.append(session, [{ id: "1", messages, at: 1 }], testCall());
      messages[0]!.content = "changed later";
      const [kept] = await read(memory, session);
      assert.equal(kept!.messages[0]!.content, "as written");
    }),
  ];
}

function sessionCases(open: Opened<MemoryStore>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("keeps owners and sessions apart", async (memory) => {
      const [owner, other, id] = [randomUUID(), randomUUID(), randomUUID()];
      await memory.append({ owner, id }, [turn("1")], testCall());
      assert.deepEqual(await read(memory, { owner: other, id }), []);
      assert.deepEqual(await read(memory, { owner, id: `${id}2` }), []);
    }),
    test("clears one session and no other", async (memory) => {
      const [gone, kept] = [newSession(), newSession()];
      await memory.append(gone, [turn("1")], testCall());
      await memory.append(kept, [turn("1")], testCall());
      await memory.clear(gone, testCall());
      await memory.clear(gone, testCall());
      assert.deepEqual(await read(memory, gone), []);
      assert.deepEqual(await read(memory, kept), [turn("1")]);
      await memory.append(gone, [turn("1")], testCall());
      assert.deepEqual(await read(memory, gone), [turn("1")]);
    }),
    test("lists the sessions of one owner, where it lists any", async (memory) => {
      if (memory.sessions === undefined) return;
      const owner = randomUUID();
      for (const id of ["a", "b"]) await memory.append({ owner, id }, [turn("1")], testCall());
      await memory.append(newSession(), [turn("1")], testCall());
      await memory.clear({ owner, id: "b" }, testCall());
      assert.deepEqual(await collect(memory.sessions(owner, testCall())), [{ owner, id: "a" }]);
    }),
  ];
}

/** Ids that a query, a key or a file name may be spoiled by. */
const ODD_NAMES: readonly string[] = [
  "\u65e5\u672c \u{1f600}",
  'it\'s "quoted" \\ and {tagged} * ? [a]',
  "../../etc/passwd; DROP TABLE turns; --",
  " ",
  "a/b:c%d_e\n\t",
  "x".repeat(10_000),
];

function nameCases(open: Opened<MemoryStore>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("keeps sessions of any name apart", async (memory) => {
      const base = randomUUID();
      const sessions = ODD_NAMES.flatMap((name) => [
        { owner: base, id: name },
        { owner: base + name, id: base },
      ]);
      const turns = sessions.map((_, index) => turn(`${ODD_NAMES[index % ODD_NAMES.length]}${index}`));
      for (const [index, session] of sessions.entries()) {
        await memory.append(session, [turns[index]!], testCall());
      }
      for (const [index, session] of sessions.entries()) {
        assert.deepEqual(await read(memory, session), [turns[index]]);
      }
      if (memory.sessions === undefined) return;
      const listed = await collect(memory.sessions(base, testCall()));
      assert.deepEqual(listed.map(({ id }) => id).sort(), [...ODD_NAMES].sort());
    }),
    test("refuses a session without a name with INVALID_ARGUMENT", async (memory) => {
      const nameless = { owner: randomUUID(), id: "" };
      await rejectsWithCode(memory.append(nameless, [turn("1")], testCall()), "INVALID_ARGUMENT");
      await rejectsWithCode(collect(memory.read(nameless, {}, testCall())), "INVALID_ARGUMENT");
      await rejectsWithCode(memory.clear(nameless, testCall()), "INVALID_ARGUMENT");
    }),
  ];
}

function abortCases(open: Opened<MemoryStore>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("stores nothing when aborted before it begins", async (memory) => {
      const [session, aborted] = [newSession(), abortedCall()];
      await rejectsWithReason(memory.append(session, [turn("1")], aborted.call), aborted);
      assert.deepEqual(await read(memory, session), []);
    }),
    test("reads and clears nothing when aborted before it begins", async (memory) => {
      const [session, aborted] = [newSession(), abortedCall()];
      await memory.append(session, [turn("1")], testCall());
      await rejectsWithReason(collect(memory.read(session, {}, aborted.call)), aborted);
      await rejectsWithReason(memory.clear(session, aborted.call), aborted);
      assert.deepEqual(await read(memory, session), [turn("1")]);
    }),
    test("leaves no listener on the signal", async (memory) => {
      const [session, call] = [newSession(), testCall()];
      await memory.append(session, [turn("1")], call);
      await collect(memory.read(session, {}, call));
      await memory.clear(session, call);
      assertNoListeners(call);
    }),
  ];
}

function newSession(): Session {
  return { owner: randomUUID(), id: randomUUID() };
}

function read(memory: MemoryStore, session: Session, last?: number): Promise<Turn[]> {
  return collect(memory.read(session, last === undefined ? {} : { last }, testCall()));
}

function turn(id: string): Turn {
  return {
    id,
    at: 1_700_000_000_000,
    messages: [
      { role: "user", content: `question ${id}` },
      { role: "assistant", content: `answer ${id}` },
    ],
  };
}

function everyKindOfMessage(): Turn {
  const call = { id: "call-1", name: "weather", arguments: '{"city":"Zürich"}' };
  return {
    id: "all kinds",
    at: 1_700_000_000_001,
    messages: [
      { role: "system", content: "" },
      { role: "user", content: [{ type: "text", text: "日本 😀\n\t\"'" }], name: "ann" },
      { role: "assistant", content: "", toolCalls: [call] },
      { role: "tool", content: "sunny", toolCallId: "call-1" },
      { role: "assistant", content: "It is sunny." },
    ],
  };
}
