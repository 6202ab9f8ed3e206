import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { SqliteDatabase, SqliteStatement } from "kysely";
import { LRUCache } from "lru-cache";

const BUSY_MS = 5000;
/** Compiled ones that are kept: most of a server's statements come again. */
const STATEMENTS = 100;

/** Node's own SQLite in the form Kysely's dialect takes. `:memory:` is a database of this process alone. */
export function sqliteDatabase(path: string): SqliteDatabase {
  const database = new DatabaseSync(path, { timeout: BUSY_MS });
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
  const kept = new LRUCache<string, SqliteStatement>({ max: STATEMENTS });
  return {
    close: () => database.close(),
    prepare(sql): SqliteStatement {
      const known = kept.get(sql) ?? statementOf(database.prepare(sql), () => database.prepare(sql));
      kept.set(sql, known);
      return known;
    },
  };
}

/** @param another for rows that are read one by one: in the meantime the statement may be run again. */
function statementOf(statement: StatementSync, another: () => StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...(parameters as never[])),
    run: (parameters) => statement.run(...(parameters as never[])),
    iterate: (parameters) => another().iterate(...(parameters as never[])) as IterableIterator<unknown>,
  };
}
