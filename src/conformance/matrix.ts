/**
 * Writes the tables of docs/conformance.md from reports made with `capstan conformance --json`:
 *
 *   node src/conformance/matrix.ts "Triton 2.51=triton.json" "MLServer 1.7.1=mlserver.json"
 *
 * `tests/peers/conformance.sh` makes the reports and calls this.
 */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Column, renderFaults, renderMatrix, replaceBetween } from "./report/matrix.ts";
import type { Report } from "./types.ts";

const DOCUMENT = path.join(import.meta.dirname, "../../docs/conformance.md");

async function column(argument: string): Promise<Column> {
  const at = argument.lastIndexOf("=");
  if (at < 1) throw new Error(`Expected HEADING=FILE, got '${argument}'`);
  const report = JSON.parse(await readFile(argument.slice(at + 1), "utf8")) as Report;
  return { heading: argument.slice(0, at), report };
}

/** Replaces both tables of the document at `file`. */
export async function updateDocument(file: string, columns: readonly Column[]): Promise<void> {
  const text = await readFile(file, "utf8");
  const withTable = replaceBetween(text, "results", renderMatrix(columns));
  await writeFile(file, replaceBetween(withTable, "differences", renderFaults(columns)));
}

if (import.meta.main) {
  const columns = await Promise.all(process.argv.slice(2).map(column));
  if (columns.length === 0) throw new Error("Give at least one HEADING=FILE");
  await updateDocument(DOCUMENT, columns);
}
