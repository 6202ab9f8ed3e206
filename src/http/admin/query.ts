import { invalid } from "../../contracts/index.ts";
import type { Exchange } from "../exchange.ts";
import { sendBytes, sendJson } from "../send.ts";
import { csvOf } from "./csv.ts";

const CONTROL = /\p{Cc}/u;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What stands behind the `?` of a route for administrators. */
export class Query {
  readonly #values: URLSearchParams;

  constructor(x: Exchange) {
    this.#values = new URL(x.request.url!, "http://localhost").searchParams;
  }

  /** @throws CapstanError INVALID_ARGUMENT for what no database can be asked for. */
  text(name: string): string | undefined {
    const text = this.#values.get(name) ?? undefined;
    if (text === undefined || !CONTROL.test(text)) return text;
    throw invalid(`'${name}' may hold no control characters`, { param: name });
  }

  /** @throws CapstanError INVALID_ARGUMENT */
  whole(name: string): number | undefined {
    const text = this.text(name);
    const value = Number(text);
    if (text === undefined) return undefined;
    if (Number.isSafeInteger(value) && value >= 0) return value;
    throw invalid(`'${name}' must be a whole number`, { param: name });
  }

  /** A whole number, or the id of a row. @throws CapstanError INVALID_ARGUMENT */
  place(name: string): number | string | undefined {
    const text = this.text(name);
    return text !== undefined && UUID.test(text) ? text : this.whole(name);
  }

  /** A month of the year, such as 2026-11. @throws CapstanError INVALID_ARGUMENT */
  month(name: string): string | undefined {
    const text = this.text(name);
    if (text === undefined || /^\d{4}-(0[1-9]|1[0-2])$/.test(text)) return text;
    throw invalid(`'${name}' must be a year and a month, such as 2026-11`, { param: name });
  }
}

/**
 * Whether the caller wants a table: by `format`, or by the type that it accepts.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function wantsCsv(x: Exchange, query: Query): boolean {
  const format = query.text("format");
  if (format === undefined) return x.header("accept")?.startsWith("text/csv") ?? false;
  if (format === "csv" || format === "json") return format === "csv";
  throw invalid("'format' must be json or csv", { param: "format" });
}

/** Rows as a table of `columns`, or as JSON under `name`. */
export function sendRows(
  x: Exchange,
  name: string,
  rows: readonly object[],
  columns: readonly string[],
  asCsv: boolean,
): Promise<void> {
  if (!asCsv) return sendJson(x, 200, { [name]: rows });
  const csv = csvOf(columns, rows as readonly Record<string, unknown>[]);
  return sendBytes(x, 200, Buffer.from(csv), { "content-type": "text/csv; charset=utf-8" });
}
