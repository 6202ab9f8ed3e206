import { CapstanError } from "../../contracts/index.ts";
import { LOG_COLUMNS, type LogFilter } from "../../host/administration.ts";
import type { Exchange } from "../exchange.ts";
import type { Route } from "../route.ts";
import { sendJson } from "../send.ts";
import { Query, sendRows, wantsCsv } from "./query.ts";

/** The inference log and the kept answers, for administrators. */
export const recordRoutes: Route[] = [
  { method: "GET", path: "/admin/log", guarded: true, handle: log },
  { method: "DELETE", path: "/admin/cache", guarded: true, handle: purge },
];

async function log(x: Exchange): Promise<void> {
  const read = x.parts.records?.log;
  if (read === undefined)
    throw new CapstanError("UNSUPPORTED", "Nothing is written down: set inference_log.enabled");
  const query = new Query(x);
  const asCsv = wantsCsv(x, query);
  return sendRows(x, "log", await read(filterOf(query)), LOG_COLUMNS, asCsv);
}

async function purge(x: Exchange): Promise<void> {
  const remove = x.parts.records?.purgeCompletions;
  if (remove === undefined)
    throw new CapstanError("UNSUPPORTED", "No answers are kept: set completion_cache");
  return sendJson(x, 200, { removed: await remove(new Query(x).text("model")) });
}

function filterOf(query: Query): LogFilter {
  const [limit, before] = [query.whole("limit"), query.place("before")];
  const [key, model] = [query.text("key"), query.text("model")];
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(before === undefined ? {} : { before }),
    ...(key === undefined ? {} : { key }),
    ...(model === undefined ? {} : { model }),
  };
}
