import { setTimeout as sleep } from "node:timers/promises";
import { type Call, invalid, type MemoryStore, type Session, type Turn } from "../../src/contracts/index.ts";
import type { Answer, Connection } from "./connection.ts";
import type { Statement, Statements } from "./statements.ts";
import type { WriteBehind } from "./write-behind.ts";

const ATTEMPTS = 5;
const SETTLE_PAUSE_MS = 1000;
const CONCURRENT = /DELTA_CONCURRENT|Concurrent\w+Exception/;

/** Sessions in a Delta table. */
export class DeltaMemory implements MemoryStore {
  readonly #connection: Connection;
  readonly #statements: Statements;
  readonly #writer: WriteBehind;
  #seq = 0;

  /** All of it is disposed with the store. */
  constructor(connection: Connection, statements: Statements, writer: WriteBehind) {
    this.#connection = connection;
    this.#statements = statements;
    this.#writer = writer;
  }

  /** Returns when the turns are in the journal. */
  async append(session: Session, turns: readonly Turn[], call: Call): Promise<void> {
    call.signal.throwIfAborted();
    checkName(session);
    const { owner, id: session_id } = session;
    const rows = turns.map(({ id: turn_id, at: said_at, messages }) => {
      return { owner, session_id, turn_id, seq: this.#next(), said_at, messages: JSON.stringify(messages) };
    });
    if (rows.length > 0) await this.#writer.add(rows, call);
  }

  async *read(session: Session, { last }: { readonly last?: number }, call: Call): AsyncGenerator<Turn> {
    const rows = await this.#settled(session, call, last === 0 ? undefined : this.#select(session, last));
    for (const { turn_id, said_at, messages } of rows.toReversed()) {
      yield { id: String(turn_id), messages: JSON.parse(String(messages)), at: Number(said_at) };
      call.signal.throwIfAborted();
    }
  }

  async clear(session: Session, call: Call): Promise<void> {
    call.signal.throwIfAborted();
    checkName(session);
    await this.#writer.settle(session, call);
    const statement = this.#statements.delete(session.owner, session.id);
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#connection.run(statement, call);
        return;
      } catch (error) {
        // Another writer changed the same files in the meantime.
        if (attempt === ATTEMPTS || !CONCURRENT.test(String(error))) throw error;
      }
    }
  }

  async *sessions(owner: string, call: Call): AsyncGenerator<Session> {
    call.signal.throwIfAborted();
    await this.#writer.settle({ owner }, call);
    for (const { session_id } of await this.#connection.run(this.#statements.sessions(owner), call)) {
      yield { owner, id: String(session_id) };
      call.signal.throwIfAborted();
    }
  }

  /** However long the table is away. */
  async settled(session: Session, call: Call): Promise<void> {
    for (;;) {
      call.signal.throwIfAborted();
      try {
        return await this.#writer.settle(session, call);
      } catch {
        await sleep(SETTLE_PAUSE_MS, undefined, { signal: call.signal }).catch(() => {});
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
    await this.#connection[Symbol.asyncDispose]();
  }

  #select({ owner, id }: Session, last: number | undefined): Statement {
    return this.#statements.select(owner, id, last);
  }

  /** Runs a statement once everything said in a session is in the table. */
  async #settled(session: Session, call: Call, statement: Statement | undefined): Promise<Answer> {
    call.signal.throwIfAborted();
    checkName(session);
    await this.#writer.settle(session, call);
    return statement === undefined ? [] : this.#connection.run(statement, call);
  }

  #next(): number {
    this.#seq = Math.max(this.#seq + 1, Date.now() * 1000);
    return this.#seq;
  }
}

function checkName({ id }: Session): void {
  if (id === "") throw invalid("A session needs a name that is not empty", { param: "session_id" });
}
