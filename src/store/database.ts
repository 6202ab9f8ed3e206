import { setTimeout } from "node:timers/promises";
import { Kysely, PostgresDialect, SqliteDialect } from "kysely";
import { type MigrationResultSet, Migrator } from "kysely/migration";
import { type Address, databaseAddress, shownAddress } from "./address.ts";
import * as first from "./migrations/0001-first.ts";
import type { Database, Tables } from "./tables.ts";
import { isUnreachable } from "./unreachable.ts";

/** In the order they were made; a name is never changed. */
const MIGRATIONS = { "0001-first": first };

/** The records of a server, and their schema. */
export interface Store extends AsyncDisposable {
  readonly database: Database;
  /** Without secrets. */
  readonly address: string;
  readonly kind: Address["kind"];
  /** Brings the schema up to date; safe to call from several processes at once. */
  migrate(): Promise<readonly MigrationStep[]>;
  /** Takes the newest migration back. */
  revert(): Promise<readonly MigrationStep[]>;
  migrations(): Promise<readonly MigrationState[]>;
}

export interface MigrationStep {
  readonly name: string;
  readonly direction: "Up" | "Down";
}

export interface MigrationState {
  readonly name: string;
  /** Absent: not applied. */
  readonly appliedAt?: Date;
}

/**
 * Opens the database behind a url; nothing is read or written yet.
 * @param folder where a relative path of SQLite starts.
 * @throws Error when the url is no address of a database.
 */
export async function openStore(url: string, folder: string): Promise<Store> {
  const address = databaseAddress(url, folder);
  const database = new Kysely<Tables>({ dialect: await dialectOf(address) });
  const migrator = new Migrator({
    db: database,
    provider: { getMigrations: async () => MIGRATIONS },
  });
  const shown = shownAddress(address);
  return {
    database,
    address: shown,
    kind: address.kind,
    migrate: named(shown, () => migrate(migrator)),
    revert: named(shown, async () => steps(await migrator.migrateDown())),
    migrations: named(shown, async () => {
      const known = await migrator.getMigrations();
      return known.map(({ name, executedAt }) => ({ name, ...(executedAt && { appliedAt: executedAt }) }));
    }),
    [Symbol.asyncDispose]: () => database.destroy(),
  };
}

/** As `work`; what it throws says which database it was, and which settings name it. */
function named<T>(address: string, work: () => Promise<T>): () => Promise<T> {
  return async () => {
    try {
      return await work();
    } catch (cause) {
      const { message } = cause as Error;
      throw new Error(
        `The database ${address} (auth.database_url, DATABASE_URL) cannot be used: ${message}`,
        {
          cause,
        },
      );
    }
  };
}

async function dialectOf(address: Address) {
  if (address.kind === "sqlite") {
    const { sqliteDatabase } = await import("./sqlite-database.ts");
    return new SqliteDialect({ database: async () => sqliteDatabase(address.path) });
  }
  const { postgresPool } = await import("./postgres-pool.ts");
  return new PostgresDialect({ pool: async () => postgresPool(address.url) });
}

const ATTEMPTS = 20;
const PAUSE_MS = 100;

/** SQLite has no lock for it: whoever comes second fails while the first is at it, and then finds everything done. */
async function migrate(migrator: Migrator): Promise<MigrationStep[]> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await migrator.migrateToLatest();
    if (outcome.error === undefined || attempt === ATTEMPTS || isUnreachable(outcome.error))
      return steps(outcome);
    await setTimeout(PAUSE_MS);
  }
}

function steps({ error, results = [] }: MigrationResultSet): MigrationStep[] {
  if (error !== undefined) throw error;
  return results.map(({ migrationName, direction }) => ({ name: migrationName, direction }));
}
