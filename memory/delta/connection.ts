import { type Call, CapstanError, isCapstanError } from "../../src/contracts/index.ts";
import type { Statement, Statements } from "./statements.ts";
import { unlessAborted } from "./unless-aborted.ts";

export type Answer = readonly Readonly<Record<string, unknown>>[];

/** A session of a SQL warehouse. */
export interface SqlSession extends AsyncDisposable {
  /** @param signal when it aborts, the statement is cancelled where that can still be done. */
  run(statement: Statement, signal?: AbortSignal): Promise<Answer>;
}

export type Connect = () => Promise<SqlSession>;

/** A session that is opened when it is needed, and anew after a fault: warehouses end those that are idle. */
export class Connection implements AsyncDisposable {
  readonly #connect: Connect;
  readonly #statements: Statements;
  /** Shown in messages. */
  readonly #place: string;
  readonly #secret: string;
  #session: Promise<SqlSession> | undefined;
  #created = false;

  constructor(connect: Connect, statements: Statements, place: string, secret: string) {
    this.#connect = connect;
    this.#statements = statements;
    this.#place = place;
    this.#secret = secret;
  }

  /** @throws CapstanError UPSTREAM with what the warehouse says, and the call's reason when it aborts. */
  async run(statement: Statement, call?: Call): Promise<Answer> {
    call?.signal.throwIfAborted();
    const work = this.#run(statement, call?.signal);
    return call === undefined ? work : unlessAborted(work, call.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const open = this.#session;
    this.#session = undefined;
    await dispose(open);
  }

  async #run(statement: Statement, signal: AbortSignal | undefined): Promise<Answer> {
    this.#session ??= this.#connect();
    const opened = this.#session;
    try {
      const session = await opened;
      await this.#create(session);
      return await session.run(statement, signal);
    } catch (error) {
      // A statement that was cancelled says nothing about its session.
      if (signal?.aborted !== true) this.#forget(opened);
      throw this.#fault(error);
    }
  }

  async #create(session: SqlSession): Promise<void> {
    if (this.#created) return;
    try {
      await session.run(this.#statements.create());
    } catch (error) {
      await session.run(this.#statements.describe()).catch(() => Promise.reject(error));
    }
    this.#created = true;
  }

  #forget(session: Promise<SqlSession>): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    void dispose(session);
  }

  #fault(error: unknown): CapstanError {
    if (isCapstanError(error)) return error;
    const said = error instanceof Error ? error.message : String(error);
    const reason = said.replaceAll(this.#secret, "***");
    return new CapstanError(
      "UPSTREAM",
      `The memory in the Delta table ${this.#place} does not answer: ${reason}`,
    );
  }
}

/** What goes wrong while a session is left does not matter any more. */
async function dispose(session: Promise<SqlSession> | undefined): Promise<void> {
  await session?.then((opened) => opened[Symbol.asyncDispose]()).catch(() => {});
}
