import { CapstanError, invalid } from "../../contracts/index.ts";
import type { LogFilter } from "../../host/administration.ts";
import type { Exchange } from "../exchange.ts";
import type { Route } from "../route.ts";
import { sendBytes, sendJson } from "../send.ts";
import { csvOf } from "./csv.ts";

/** The inference log and the kept answers, for administrators. */
export const recordRoutes: Route[] = [
  { method: "GET", path: "/admin/log", guarded: true, handle: log },
  { method: "DELETE", path: "/admin/cache", guarded: true, handle: purge },
];

async function log(x: Exchange): Promise<void> {
  const read = x.parts.records?.log;
  if (read === undefined)
    throw new CapstanError("UNSUPPORTED", "Nothing is written down: set inference_log.enabled");
  const query = queryOf(x);
  const rows = await read(filterOf(query));
  if (query.get("format") !== "csv") return sendJson(x, 200, { log: rows });
  const columns = Object.keys(rows[0] ?? {});
  const csv = csvOf(columns, rows as readonly Record<string, unknown>[]);
  return sendBytes(x, 200, Buffer.from(csv), { "content-type": "text/csv; charset=utf-8" });
}

async function purge(x: Exchange): Promise<void> {
  const remove = x.parts.records?.purgeCompletions;
  if (remove === undefined)
    throw new CapstanError("UNSUPPORTED", "No answers are kept: set completion_cache");
  return sendJson(x, 200, { removed: await remove(queryOf(x).get("model") ?? undefined) });
}

const queryOf = (x: Exchange) => new URL(x.request.url!, "http://localhost").searchParams;

function filterOf(query: URLSearchParams): LogFilter {
  const { limit, before, key, model } = Object.fromEntries(query);
  return {
    ...(limit === undefined ? {} : { limit: numberOf("limit", limit) }),
    ...(before === undefined ? {} : { before: numberOf("before", before) }),
    ...(key === undefined ? {} : { key }),
    ...(model === undefined ? {} : { model }),
  };
}

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(`'${name}' must be a whole number`, { param: name });
}
