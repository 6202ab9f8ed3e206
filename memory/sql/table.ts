import { createHash } from "node:crypto";
import { type Generated, type Kysely, sql } from "kysely";
import { invalid, type Session } from "../../src/contracts/index.ts";
import type { Address } from "./address.ts";

/** One turn. Names are kept as JSON, in which any text is well-formed, and found by digests, which are never long. */
export interface TurnTable {
  readonly position: Generated<number>;
  /** Digest of owner and id. */
  readonly session: string;
  /** Digest of the turn's id. */
  readonly turn: string;
  /** Digest of the owner. */
  readonly owner: string;
  /** The session's id. */
  readonly id: string;
  /** The whole turn. */
  readonly body: string;
}

/** Who has the turn of a session. Rows stay: a later holder has a larger token. */
export interface LockTable {
  readonly session: string;
  readonly token: number;
  /** Milliseconds since the epoch, by the clock of the database. */
  readonly expires_at: number;
}

/** Until when a session is kept, where a time is set. */
export interface SessionTable {
  readonly session: string;
  /** Milliseconds since the epoch, by the clock of the database. */
  readonly expires_at: number;
}

export interface Tables {
  readonly capstan_memory: TurnTable;
  readonly capstan_memory_sessions: SessionTable;
  readonly capstan_memory_locks: LockTable;
}

/** Safe to call from several processes at once, and again. */
export async function createTables(database: Kysely<Tables>, kind: Address["kind"]): Promise<void> {
  // Two that create one table at the same moment collide in Postgres, in spite of IF NOT EXISTS.
  if (kind === "postgres") return database.transaction().execute(createLocked);
  await create(database, sql`INTEGER PRIMARY KEY AUTOINCREMENT`);
}

async function createLocked(database: Kysely<Tables>): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('capstan_memory'))`.execute(database);
  await create(database, sql`BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY`);
}

async function create(database: Kysely<Tables>, position: ReturnType<typeof sql>): Promise<void> {
  await sql`CREATE TABLE IF NOT EXISTS capstan_memory (
    position ${position},
    session TEXT NOT NULL,
    turn TEXT NOT NULL,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (session, turn)
  )`.execute(database);
  await sql`CREATE TABLE IF NOT EXISTS capstan_memory_locks (
    session TEXT PRIMARY KEY,
    token BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
  )`.execute(database);
  await sql`CREATE TABLE IF NOT EXISTS capstan_memory_sessions (
    session TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
  )`.execute(database);
  await sql`CREATE INDEX IF NOT EXISTS capstan_memory_owner ON capstan_memory (owner)`.execute(database);
}

/** @throws CapstanError INVALID_ARGUMENT for a session without a name. */
export function sessionDigest({ owner, id }: Session): string {
  if (id === "") throw invalid("A session needs a name that is not empty", { param: "session_id" });
  return digest([owner, id]);
}

export function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}
