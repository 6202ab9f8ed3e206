/** The report for people: one line a check, and below it what was sent and received where it failed. */
import type { Exchange, Outcome, Report, Result } from "../types.ts";
import { countOutcomes } from "./summary.ts";

const MARKS: Readonly<Record<Outcome, string>> = {
  pass: "pass",
  fail: "FAIL",
  warn: "warn",
  "not-applicable": "n/a",
};

function indented(label: string, text: string): string {
  const lines = text.trimEnd().split("\n");
  return [`      ${label}`, ...lines.map((line) => `        ${line}`)].join("\n");
}

function exchangeText({ sent, received }: Exchange): string {
  return `${indented("sent", sent)}\n${indented("received", received)}`;
}

/** The line of a result, with its reason. */
export function resultLine({ id, level, title, outcome, reason }: Result): string {
  const line = `${MARKS[outcome].padEnd(5)} ${level.toUpperCase().padEnd(6)} ${id.padEnd(26)} ${title}`;
  return reason === undefined ? line : `${line}\n      ${reason}`;
}

function details(result: Result): string {
  const exchanges = result.exchanges ?? [];
  const last = result.outcome === "fail" ? exchanges.slice(-1).map(exchangeText) : [];
  const source = result.outcome === "fail" ? [`      source: ${result.source}`] : [];
  return [resultLine(result), ...source, ...last].join("\n");
}

/** One sentence of counts. */
export function summaryLine(report: Report): string {
  const { pass, fail, warn, "not-applicable": skipped } = countOutcomes(report.results);
  return `${pass} passed, ${fail} failed, ${warn} warnings (a SHOULD that does not hold), ${skipped} not applicable`;
}

export function renderTable(report: Report): string {
  const { server, url, model } = report;
  const head = `${server.name || "unnamed server"} ${server.version} at ${url}, model ${model ?? "none"}`;
  return [head, "", ...report.results.map(details), "", summaryLine(report), ""].join("\n");
}
