import { type Insertable, Kysely } from "kysely";
import {
  type Call,
  CapstanError,
  isCapstanError,
  type MemoryStore,
  type Session,
  type Turn,
} from "../../src/contracts/index.ts";
import { type Address, shownAddress } from "./address.ts";
import { dialectOf } from "./dialect.ts";
import { Expiry } from "./expiry.ts";
import { HeldLock, takeLock } from "./lock.ts";
import { createTables, digest, sessionDigest, type Tables, type TurnTable } from "./table.ts";

/** Turns of one statement: databases limit its parameters. */
const MOST_ROWS = 500;

async function insert(
  database: Kysely<Tables>,
  rows: readonly Insertable<TurnTable>[],
  call: Call,
): Promise<void> {
  await database
    .insertInto("capstan_memory")
    .values(rows)
    .onConflict((conflict) => conflict.columns(["session", "turn"]).doNothing())
    .execute(call);
}

/** Sessions in the rows of one table. */
export class SqlMemory implements MemoryStore {
  readonly #database: Kysely<Tables>;
  readonly #address: Address;
  readonly #expiry: Expiry;
  /** The locks this process holds, by their sessions. */
  readonly #held = new Map<string, HeldLock>();
  #created: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  /** @param ttl milliseconds after which an unused session is forgotten; absent: never. */
  constructor(address: Address, ttl?: number) {
    this.#address = address;
    this.#expiry = new Expiry(address.kind, ttl);
    this.#database = new Kysely<Tables>({ dialect: dialectOf(address) });
  }

  /** @throws CapstanError NOT_READY when this process held the session's lock for too long, and another has it. */
  async append(session: Session, turns: readonly Turn[], call: Call): Promise<void> {
    const digested = sessionDigest(session);
    const rows = turns.map((turn) => ({
      session: digested,
      turn: digest(turn.id),
      owner: digest(session.owner),
      id: JSON.stringify(session.id),
      body: JSON.stringify(turn),
    }));
    const held = this.#held.get(digested);
    if (rows.length === 0) return call.signal.throwIfAborted();
    await this.#use(call, (database) => {
      if (held === undefined && this.#expiry.isNever && rows.length <= MOST_ROWS)
        return insert(database, rows, call);
      return database.transaction().execute(async (transaction) => {
        await held?.confirm(transaction);
        await this.#expiry.begin(transaction, digested);
        for (let from = 0; from < rows.length; from += MOST_ROWS)
          await insert(transaction, rows.slice(from, from + MOST_ROWS), call);
      });
    });
  }

  async *read(session: Session, { last }: { readonly last?: number }, call: Call): AsyncGenerator<Turn> {
    const digested = sessionDigest(session);
    const rows = await this.#use(call, async (database) => {
      await this.#expiry.renew(database, digested);
      const newest = database
        .selectFrom("capstan_memory")
        .select("body")
        .where("session", "=", digested)
        .where(this.#expiry.live)
        .orderBy("position", "desc");
      return (last === undefined ? newest : newest.limit(last)).execute(call);
    });
    for (const { body } of rows.reverse()) {
      yield JSON.parse(body) as Turn;
      call.signal.throwIfAborted();
    }
  }

  async clear(session: Session, call: Call): Promise<void> {
    const digested = sessionDigest(session);
    await this.#use(call, (database) =>
      database.deleteFrom("capstan_memory").where("session", "=", digested).execute(call),
    );
  }

  async *sessions(owner: string, call: Call): AsyncGenerator<Session> {
    const rows = await this.#use(call, (database) =>
      database
        .selectFrom("capstan_memory")
        .select("id")
        .where("owner", "=", digest(owner))
        .where(this.#expiry.live)
        .groupBy("id")
        .orderBy((each) => each.fn.min("position"))
        .execute(call),
    );
    for (const { id } of rows) {
      yield { owner, id: JSON.parse(id) as string };
      call.signal.throwIfAborted();
    }
  }

  async lock(session: Session, call: Call): Promise<AsyncDisposable> {
    const digested = sessionDigest(session);
    return this.#use(call, async (database) => {
      const lock = { database, kind: this.#address.kind, session: digested };
      const held = new HeldLock(lock, await takeLock(lock, call), () => {
        if (this.#held.get(digested) === held) this.#held.delete(digested);
      });
      this.#held.set(digested, held);
      return held;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#held.values()].map((held) => held[Symbol.asyncDispose]()));
    await this.#database.destroy();
  }

  /** @throws CapstanError NOT_READY with what the database says, and the signal's reason when it aborts. */
  async #use<T>({ signal }: Call, work: (database: Kysely<Tables>) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    try {
      await this.#create();
      await this.#expiry.sweep(this.#database);
      signal.throwIfAborted();
      return await work(this.#database);
    } catch (error) {
      signal.throwIfAborted();
      if (isCapstanError(error)) throw error;
      // The drivers' messages name no password; their other fields are left out.
      const reason = error instanceof Error ? error.message || error.name : String(error);
      const where = shownAddress(this.#address);
      throw new CapstanError("NOT_READY", `The memory in ${where} does not answer: ${reason}`);
    }
  }

  /** Tried again at the next use when it fails. */
  #create(): Promise<void> {
    this.#created ??= createTables(this.#database, this.#address.kind).catch((error: unknown) => {
      this.#created = undefined;
      throw error;
    });
    return this.#created;
  }
}
