import { CompiledQuery, type Kysely } from "kysely";
import { LOG_COLUMNS } from "../../host/administration.ts";
import type { Store } from "../../store/database.ts";
import type { InferenceLogTable, Tables } from "../../store/tables.ts";

/** What rows are written to. */
export type LogStore = Pick<Store, "database" | "kind">;

const COLUMNS: readonly (keyof InferenceLogTable)[] = LOG_COLUMNS;

/** Of one statement of SQLite, which is prepared once. */
const ROWS_OF_A_STATEMENT = 50;

const NAMES = COLUMNS.join(", ");
const CHANGES = COLUMNS.filter((name) => name !== "id").map((name) => `${name} = excluded.${name}`);
/** A row that is written twice is one, and the later state of a request is the one that stays. */
const CONFLICT = `ON CONFLICT (id) DO UPDATE SET ${CHANGES.join(", ")} WHERE excluded.latency_ms > inference_log.latency_ms`;
const VALUES = `(${COLUMNS.map(() => "?").join(", ")})`;

/**
 * Writes rows in one transaction. The statements are written by hand: measured, a query builder takes ten times as long for
 * a row as all else. Postgres takes the rows as one JSON parameter, SQLite as parameters of a prepared statement.
 */
export async function insertRows(
  { database, kind }: LogStore,
  rows: readonly InferenceLogTable[],
): Promise<void> {
  if (kind === "postgres") await database.executeQuery(postgresQuery(rows));
  else await database.transaction().execute((within) => insertInParts(within, rows));
}

async function insertInParts(database: Kysely<Tables>, rows: readonly InferenceLogTable[]): Promise<void> {
  for (let from = 0; from < rows.length; from += ROWS_OF_A_STATEMENT)
    await database.executeQuery(sqliteQuery(rows.slice(from, from + ROWS_OF_A_STATEMENT)));
}

function postgresQuery(rows: readonly InferenceLogTable[]): CompiledQuery {
  const sql = `INSERT INTO inference_log (${NAMES}) SELECT ${NAMES} FROM json_populate_recordset(null::inference_log, $1::json) ${CONFLICT}`;
  // One statement of Postgres changes no row twice.
  const distinct = new Map(rows.map((row) => [row.id, row]));
  return CompiledQuery.raw(sql, [JSON.stringify([...distinct.values()])]);
}

const statements = new Map<number, string>();

function sqliteQuery(rows: readonly InferenceLogTable[]): CompiledQuery {
  let sql = statements.get(rows.length);
  if (sql === undefined) {
    sql = `INSERT INTO inference_log (${NAMES}) VALUES ${rows.map(() => VALUES).join(", ")} ${CONFLICT}`;
    statements.set(rows.length, sql);
  }
  const parameters: unknown[] = [];
  for (const row of rows) addValues(row, parameters);
  return CompiledQuery.raw(sql, parameters);
}

/** In the order of the columns. Written out: a loop over their names takes three times as long. */
function addValues(row: InferenceLogTable, to: unknown[]): void {
  to.push(row.id, row.at, row.request_id, row.trace_id, row.key_id, row.model, row.version, row.session);
  to.push(row.operation, row.input_tokens, row.output_tokens, row.latency_ms, row.first_token_ms, row.status);
  to.push(row.finish, row.cached, row.error_code, row.request_body, row.response_body);
}

/** Result codes of SQLite (https://sqlite.org/rescode.html): TOOBIG, CONSTRAINT, MISMATCH. */
const SQLITE_FAULTS: ReadonlySet<unknown> = new Set([18, 19, 20]);
/** Classes of SQLSTATE (Postgres, appendix A): data exceptions, broken constraints. */
const POSTGRES_FAULTS = /^2[23]/;

/** Whether it is the rows that the database does not take, and will not take later. */
export function isFaultOfRows(error: unknown): boolean {
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown };
  return (
    SQLITE_FAULTS.has(Number(errcode) & 0xff) || (typeof code === "string" && POSTGRES_FAULTS.test(code))
  );
}
