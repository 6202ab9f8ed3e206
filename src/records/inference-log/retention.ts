import { setTimeout } from "node:timers/promises";
import type { Database } from "../../store/tables.ts";

const DELETED_AT_ONCE = 1000;
/** Requests go on between two batches: SQLite works in this thread. */
const PAUSE_MS = 10;

/** Deletes the rows that are older than `before` (milliseconds since the epoch), a few at a time. Resolves to how many. */
export async function forgetRows(database: Database, before: number, signal: AbortSignal): Promise<number> {
  const old = database
    .selectFrom("inference_log")
    .select("id")
    .where("at", "<", before)
    .limit(DELETED_AT_ONCE);
  const some = database.deleteFrom("inference_log").where("id", "in", old);
  for (let deleted = 0; ; await setTimeout(PAUSE_MS, undefined, { signal })) {
    const { numDeletedRows } = await some.executeTakeFirstOrThrow();
    deleted += Number(numDeletedRows);
    if (numDeletedRows < DELETED_AT_ONCE) return deleted;
  }
}
