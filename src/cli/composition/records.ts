import type { Log } from "../../contracts/index.ts";
import type { LogFilter, RecordsControl } from "../../host/administration.ts";
import { logRows } from "../../records/inference-log/read.ts";
import type { Environment } from "../../settings/interpolate.ts";
import type { ServerSettings } from "../../settings/server.ts";
import { answered } from "../../store/answered.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Records } from "./kept-records.ts";

/**
 * Opens what the settings ask to keep. Where they ask for nothing, the libraries for it are not loaded.
 * @param opened closes what is opened here.
 * @throws Error when the database answers and cannot be used. While it cannot be reached, it is waited for beside the server,
 *   which never runs open when it was asked for access control.
 */
export async function openRecords(
  settings: ServerSettings,
  env: Environment,
  log: Log,
  opened: AsyncDisposableStack,
): Promise<Records> {
  if (!keepsAnything(settings)) return { around: (plane) => plane };
  const { openKept } = await import("./kept-records.ts");
  return openKept(settings, env, log, opened, needsDatabase(settings));
}

function keepsAnything(settings: ServerSettings): boolean {
  return needsDatabase(settings) || settings.completion_cache !== null || settings.redis_url !== null;
}

/** One that replicas may share is for what people decide about models, whatever else is kept. */
function needsDatabase({ auth, inference_log, completion_cache }: ServerSettings): boolean {
  const isShared = /^postgres(ql)?(\+\w+)?:/i.test(auth.database_url);
  return isShared || auth.enabled || inference_log.enabled || completion_cache?.store === "sql";
}

/** What Prometheus is told of the records. */
export function watchRecords(
  { records: watched }: Metrics,
  { access, completions, logWriter, redisReady }: Records,
): void {
  if (redisReady) watched.watchRedis(redisReady);
  if (logWriter) watched.watchLog(() => logWriter.counts);
  if (completions) watched.watchCompletions(() => completions.counts);
  if (access) watched.watchRefusals(access.refusals.counts);
}

/** What administrators may ask of the records. Each throws CapstanError NOT_READY while their store does not answer. */
export function recordsOf({ store, completions, logWriter }: Records): RecordsControl {
  const purge = (model?: string) =>
    answered(completions!.purge(model), "No kept answer was removed: their store does not answer");
  const log = (of: LogFilter) =>
    answered(
      logRows(store!.database, logWriter!, of),
      "The inference log cannot be read now: its database does not answer",
    );
  return { ...(completions && { purgeCompletions: purge }), ...(store && logWriter && { log }) };
}
