import type { LogFilter } from "../../host/administration.ts";
import type { Database, InferenceLogTable } from "../../store/tables.ts";
import { timeOf } from "./row.ts";
import type { LogWriter } from "./writer.ts";

const DEFAULT_LIMIT = 100;
const MOST = 10_000;

/** The newest rows first, with those that were not written yet. */
export async function logRows(
  database: Database,
  writer: LogWriter,
  { limit = DEFAULT_LIMIT, before, key, model }: LogFilter,
): Promise<InferenceLogTable[]> {
  await writer.flush();
  let query = database
    .selectFrom("inference_log")
    .selectAll()
    .orderBy("at", "desc")
    .orderBy("id", "desc")
    .limit(Math.min(limit, MOST));
  if (typeof before === "number") query = query.where("at", "<", before);
  // Ids begin with their time: the index finds where to begin, and rows of the same millisecond are told apart.
  else if (before !== undefined)
    query = query
      .where("at", "<=", timeOf(before))
      .where((row) => row.or([row("at", "<", timeOf(before)), row("id", "<", before)]));
  if (key !== undefined) query = query.where("key_id", "=", key);
  if (model !== undefined) query = query.where("model", "=", model);
  return query.execute();
}
