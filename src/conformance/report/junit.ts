/** The report as JUnit XML, for CI servers. */
import type { Report, Result } from "../types.ts";
import { countOutcomes, isFault } from "./summary.ts";

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

/** Text for XML 1.0, which has no place for most control characters. */
function escaped(text: string): string {
  const printable = text.replaceAll(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, (character) =>
    "\t\n\r".includes(character) ? character : "?",
  );
  return printable.replaceAll(/[&<>"]/g, (character) => ESCAPES[character] ?? character);
}

function groupOf(id: string): string {
  return id.split(".")[0] ?? id;
}

function body(result: Result, strict: boolean): string {
  const reason = escaped(result.reason ?? "");
  if (result.outcome === "not-applicable") return `<skipped message="${reason}"/>`;
  const exchanges = (result.exchanges ?? []).map(
    ({ sent, received }) => `sent:\n${sent}\nreceived:\n${received}\n`,
  );
  const text = escaped([`source: ${result.source}`, ...exchanges].join("\n"));
  if (isFault(result, strict)) return `<failure message="${reason}">${text}</failure>`;
  return result.outcome === "warn" ? `<system-out>${reason}\n${text}</system-out>` : "";
}

function testCase(result: Result, strict: boolean): string {
  const { id, title, milliseconds } = result;
  const name = escaped(`${id}: ${title}`);
  const time = (milliseconds / 1000).toFixed(3);
  const open = `<testcase classname="v2.${escaped(groupOf(id))}" name="${name}" time="${time}">`;
  return `    ${open}${body(result, strict)}</testcase>`;
}

export function renderJunit(report: Report, strict: boolean): string {
  const { results, server } = report;
  const failures = results.filter((result) => isFault(result, strict)).length;
  const skipped = countOutcomes(results)["not-applicable"];
  const time = (results.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000).toFixed(3);
  const name = escaped(`V2 conformance: ${server.name} ${server.version}`);
  const counts = `tests="${results.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${time}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="${name}" ${counts}>`,
    ...results.map((result) => testCase(result, strict)),
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}
