/** Several reports side by side, as a Markdown table for docs/conformance.md. */
import type { Outcome, Report, Result } from "../types.ts";
import { countOutcomes } from "./summary.ts";

/** A report and what heads its column. */
export interface Column {
  readonly heading: string;
  readonly report: Report;
}

const CELLS: Readonly<Record<Outcome, string>> = {
  pass: "pass",
  fail: "**FAIL**",
  warn: "warn",
  "not-applicable": "n/a",
};

const cellText = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function row(cells: readonly string[]): string {
  return `| ${cells.map(cellText).join(" | ")} |`;
}

function outcomeIn(report: Report, id: string): string {
  const found = report.results.find((result) => result.id === id);
  return found ? CELLS[found.outcome] : "";
}

function totals(columns: readonly Column[]): string[] {
  const cells = columns.map(({ report }) => {
    const { pass, fail, warn, "not-applicable": skipped } = countOutcomes(report.results);
    return `${pass} pass, ${fail} fail, ${warn} warn, ${skipped} n/a`;
  });
  return [row(["", "", "total", ...cells])];
}

/** Every check of any report, in the order of the first that has it. */
function allResults(columns: readonly Column[]): Result[] {
  const byId = new Map<string, Result>();
  for (const { report } of columns) {
    for (const result of report.results) if (!byId.has(result.id)) byId.set(result.id, result);
  }
  return [...byId.values()];
}

export function renderMatrix(columns: readonly Column[]): string {
  const headings = columns.map(({ heading }) => heading);
  return [
    row(["check", "level", "rule", ...headings]),
    row(["---", "---", "---", ...headings.map(() => "---")]),
    ...allResults(columns).map(({ id, level, title }) =>
      row([id, level.toUpperCase(), title, ...columns.map(({ report }) => outcomeIn(report, id))]),
    ),
    ...totals(columns),
    "",
  ].join("\n");
}

/** Request ids differ from run to run, and would make every new table differ. */
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

function faultsOf({ heading, report }: Column): string[] {
  const notHeld = report.results.filter(({ outcome }) => outcome === "fail" || outcome === "warn");
  const lines = notHeld.map(({ id, outcome, reason = "" }) => {
    const short = cellText(reason).replaceAll(UUID, "ID").replaceAll("`", "'").slice(0, 160);
    return `- ${id} (${outcome}): \`${short}\``;
  });
  return [`### ${heading}`, "", ...(lines.length > 0 ? lines : ["Every applicable check holds."]), ""];
}

/** What each server answered where a rule did not hold. */
export function renderFaults(columns: readonly Column[]): string {
  return columns.flatMap(faultsOf).join("\n");
}

/** `text` with what stands between `<!-- name -->` and `<!-- /name -->` replaced. */
export function replaceBetween(text: string, name: string, content: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const start = text.indexOf(open);
  const end = text.indexOf(close);
  if (start < 0 || end < start) throw new Error(`The document has no ${open} ... ${close}`);
  return `${text.slice(0, start + open.length)}\n${content}${text.slice(end)}`;
}
