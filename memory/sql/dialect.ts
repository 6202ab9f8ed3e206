import { type Dialect, PostgresDialect, SqliteDialect, type SqliteStatement } from "kysely";
import type { Address } from "./address.ts";

const BUSY_MS = 5000;
const CONNECT_MS = 5000;
const QUERY_MS = 30_000;
const CONNECTIONS = 5;

/** How Kysely talks to a database; each driver is loaded when it is asked for. */
export function dialectOf(address: Address): Dialect {
  return address.kind === "sqlite"
    ? new SqliteDialect({ database: () => sqliteDatabase(address.path) })
    : new PostgresDialect({ pool: () => postgresPool(address.url) });
}

/** Node's own SQLite. `:memory:` is a database of this store alone. */
async function sqliteDatabase(path: string) {
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(path, { timeout: BUSY_MS });
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
  return {
    close: () => database.close(),
    prepare(sql: string): SqliteStatement {
      const statement = database.prepare(sql);
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...(parameters as never[])),
        run: (parameters) => statement.run(...(parameters as never[])),
        iterate: (parameters) => statement.iterate(...(parameters as never[])) as IterableIterator<unknown>,
      };
    },
  };
}

async function postgresPool(url: string) {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    max: CONNECTIONS,
  });
  // A connection that breaks while it is idle is replaced; without a listener it would end the process.
  pool.on("error", () => {});
  return pool;
}
