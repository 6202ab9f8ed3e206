import { setTimeout as sleep } from "node:timers/promises";
import { type Kysely, type RawBuilder, sql } from "kysely";
import { type Call, CapstanError } from "../../src/contracts/index.ts";
import type { Address } from "./address.ts";
import type { Tables } from "./table.ts";

/** A process that dies gives its locks up after this long. */
const HOLD_MS = 10_000;
const RENEW_MS = 3000;

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 250;

/** The lock of a session, a row of a table. */
export interface Lock {
  readonly database: Kysely<Tables>;
  readonly kind: Address["kind"];
  /** Digest of owner and id. */
  readonly session: string;
}

/** Waits for a lock; gives the token by which it is held. */
export async function takeLock(lock: Lock, { signal }: Call): Promise<number> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    // Not stopped by the signal: a lock that is given to nobody would be held for its time.
    const token = await acquire(lock);
    if (token !== undefined && !signal.aborted) return token;
    if (token !== undefined) await release(lock, token);
    await sleep(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => {});
  }
}

async function acquire({ database, kind, session }: Lock): Promise<number | undefined> {
  const now = clock(kind);
  const { rows } = await sql<{ token: number | string }>`
    INSERT INTO capstan_memory_locks (session, token, expires_at) VALUES (${session}, 1, ${now} + ${hold()})
    ON CONFLICT (session) DO UPDATE SET token = capstan_memory_locks.token + 1, expires_at = excluded.expires_at
    WHERE capstan_memory_locks.expires_at <= ${now}
    RETURNING token`.execute(database);
  return rows[0] && Number(rows[0].token);
}

/** Says until when a lock is held; false when it is another's by now. */
async function extend(
  { session }: Lock,
  token: number,
  database: Kysely<Tables>,
  end: RawBuilder<unknown>,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    UPDATE capstan_memory_locks SET expires_at = ${end}
    WHERE session = ${session} AND token = ${token}`.execute(database);
  return numAffectedRows === 1n;
}

const hold = () => sql.lit(HOLD_MS);

const release = (lock: Lock, token: number) =>
  extend(lock, token, lock.database, sql.lit(0)).catch(() => false);

/** Of the database: the clocks of replicas differ. */
export function clock(kind: Address["kind"]): RawBuilder<number> {
  return kind === "postgres"
    ? sql`CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`
    : sql`CAST(unixepoch('subsec') * 1000 AS INTEGER)`;
}

/** A lock while it is held: renewed until it is disposed, or turns out to be another's. */
export class HeldLock implements AsyncDisposable {
  readonly #lock: Lock;
  readonly #token: number;
  readonly #done: () => void;
  readonly #timer: NodeJS.Timeout;
  #released: Promise<unknown> | undefined;

  constructor(lock: Lock, token: number, done: () => void) {
    this.#lock = lock;
    this.#token = token;
    this.#done = done;
    this.#timer = setInterval(() => this.#renew(), RENEW_MS).unref();
  }

  /**
   * Keeps the lock until the transaction ends.
   * @throws CapstanError NOT_READY when another has it by now.
   */
  async confirm(transaction: Kysely<Tables>): Promise<void> {
    if (await this.#extend(transaction)) return;
    const text =
      "The conversation went on elsewhere while this answer was made, so it is not remembered; send the message again";
    throw new CapstanError("NOT_READY", text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#released ??= release(this.#lock, this.#token).finally(this.#done);
    await this.#released;
  }

  #extend(database: Kysely<Tables>): Promise<boolean> {
    return extend(this.#lock, this.#token, database, sql`${clock(this.#lock.kind)} + ${hold()}`);
  }

  /** While the database is away it is tried again: the lock may have outlived that. */
  #renew(): void {
    this.#extend(this.#lock.database).then(
      (held) => {
        if (!held) clearInterval(this.#timer);
      },
      () => {},
    );
  }
}
