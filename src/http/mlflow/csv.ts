import { isUtf8 } from "node:buffer";
import { type Datatype, invalid } from "../../contracts/index.ts";
import type { Table } from "./payload.ts";

/**
 * A CSV file as `pandas.DataFrame.to_csv(index=False)` writes it: a header, then rows (RFC 4180).
 * @throws CapstanError INVALID_ARGUMENT
 */
export function parseCsv(body: Buffer): Table {
  if (!isUtf8(body)) throw invalid("The CSV body is not UTF-8");
  const [columns, ...rows] = records(body.toString("utf8").replace(/^\uFEFF/, ""));
  if (columns === undefined) throw invalid("The CSV body is empty; its first line must name the columns");
  for (const [index, row] of rows.entries()) {
    if (row.length === columns.length) continue;
    throw invalid(`CSV row ${index + 1} has ${row.length} values, and the header has ${columns.length}`);
  }
  return { kind: "table", columns, rows, text: true, params: {} };
}

/** A field with what ends it. A quoted field may hold all of these, and quotes written twice. */
const FIELD = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r?\n|\r|$)/y;

function records(text: string): string[][] {
  const all: string[][] = [];
  let record: string[] = [];
  let at = 0;
  while (at < text.length || record.length > 0) {
    FIELD.lastIndex = at;
    const found = FIELD.exec(text);
    if (found === null) throw invalid(`The CSV body has a stray quote in row ${all.length}`);
    const [whole, quoted, plain, end] = found;
    at += whole.length;
    record.push(quoted?.replaceAll('""', '"') ?? plain!);
    if (end === ",") continue;
    // An empty line is no row (pandas: skip_blank_lines).
    if (record.length > 1 || record[0] !== "" || quoted !== undefined) all.push(record);
    record = [];
  }
  return all;
}

/** What pandas reads as a missing value. */
const MISSING = new Set(["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A", "n/a"]);
const BOOLEANS: Readonly<Record<string, boolean>> = {
  True: true,
  TRUE: true,
  true: true,
  False: false,
  FALSE: false,
  false: false,
};
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const INTEGER = /^[+-]?\d+$/;

/** The JSON value of a cell for a column of that datatype; text that is none is left for the reader to refuse. */
export function cellValue(cell: string, datatype: Datatype): unknown {
  if (datatype === "BYTES") return cell;
  if (datatype === "BOOL") return BOOLEANS[cell] ?? cell;
  const text = cell.trim();
  if (MISSING.has(text)) return null;
  if (INTEGER.test(text))
    return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text.replace(/^\+/, ""));
  return NUMBER.test(text) ? Number(text) : cell;
}
