import { type ExpressionBuilder, type Kysely, sql } from "kysely";
import type { Address } from "./address.ts";
import { clock } from "./lock.ts";
import type { Tables } from "./table.ts";

/** Longer than any process stands still and still believes in its lock: until then the row of a lock is kept. */
const LOCK_MS = 24 * 3_600_000;
const SWEEP_MS = 600_000;

/** Forgets the sessions that nobody wrote or read for a time. Without one, nothing is noted and nothing forgotten. */
export class Expiry {
  readonly #kind: Address["kind"];
  readonly #ttl: number | undefined;
  #sweptAt = Number.NEGATIVE_INFINITY;

  /** @param ttl milliseconds; absent: never. */
  constructor(kind: Address["kind"], ttl: number | undefined) {
    this.#kind = kind;
    this.#ttl = ttl;
  }

  get isNever(): boolean {
    return this.#ttl === undefined;
  }

  /** The turns that are not forgotten. */
  readonly live = (each: ExpressionBuilder<Tables, "capstan_memory">) => {
    if (this.#ttl === undefined) return sql.lit(true);
    const forgotten = each
      .selectFrom("capstan_memory_sessions as kept")
      .select("kept.session")
      .whereRef("kept.session", "=", "capstan_memory.session")
      .where("kept.expires_at", "<=", this.#now);
    return each.not(each.exists(forgotten));
  };

  /** Before turns are written, in their transaction: what was forgotten goes, and the time begins again. */
  async begin(transaction: Kysely<Tables>, session: string): Promise<void> {
    if (this.#ttl === undefined) return;
    const forgotten = sql`
      SELECT session FROM capstan_memory_sessions WHERE session = ${session} AND expires_at <= ${this.#now}`;
    await sql`DELETE FROM capstan_memory WHERE session IN (${forgotten})`.execute(transaction);
    await sql`
      INSERT INTO capstan_memory_sessions (session, expires_at) VALUES (${session}, ${this.#end})
      ON CONFLICT (session) DO UPDATE SET expires_at = excluded.expires_at`.execute(transaction);
  }

  /** Before turns are read: they are kept for another while. */
  async renew(database: Kysely<Tables>, session: string): Promise<void> {
    if (this.#ttl === undefined) return;
    await sql`
      UPDATE capstan_memory_sessions SET expires_at = ${this.#end}
      WHERE session = ${session} AND expires_at > ${this.#now}`.execute(database);
  }

  /** Deletes what was forgotten, once in a while. */
  async sweep(database: Kysely<Tables>): Promise<void> {
    if (this.#ttl === undefined || performance.now() - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = performance.now();
    const past = (before: number) =>
      sql`SELECT session FROM capstan_memory_sessions WHERE expires_at <= ${this.#now} - ${sql.lit(before)}`;
    await sql`DELETE FROM capstan_memory WHERE session IN (${past(0)})`.execute(database);
    await sql`
      DELETE FROM capstan_memory_locks
      WHERE expires_at <= ${this.#now} AND session IN (${past(LOCK_MS)})`.execute(database);
    await sql`
      DELETE FROM capstan_memory_sessions
      WHERE expires_at <= ${this.#now} - ${sql.lit(LOCK_MS)}`.execute(database);
  }

  get #now() {
    return clock(this.#kind);
  }

  get #end() {
    return sql<number>`${this.#now} + ${sql.lit(this.#ttl ?? 0)}`;
  }
}
