/** Counts and the verdict of a report. */
import type { Outcome, Report, Result } from "../types.ts";

export type Counts = Readonly<Record<Outcome, number>>;

export function countOutcomes(results: readonly Result[]): Counts {
  const counts: Record<Outcome, number> = { pass: 0, fail: 0, warn: 0, "not-applicable": 0 };
  for (const { outcome } of results) counts[outcome] += 1;
  return counts;
}

/** Whether a result counts against the server; with `strict` a SHOULD does too. */
export function isFault({ outcome }: Result, strict: boolean): boolean {
  return outcome === "fail" || (strict && outcome === "warn");
}

/** 0 when nothing counts against the server, else 1. */
export function exitCodeOf(report: Report, strict: boolean): 0 | 1 {
  return report.results.some((result) => isFault(result, strict)) ? 1 : 0;
}
