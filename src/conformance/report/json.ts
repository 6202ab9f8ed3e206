/** The report for programs. */
import type { Report } from "../types.ts";
import { countOutcomes } from "./summary.ts";

export function renderJson(report: Report): string {
  return `${JSON.stringify({ ...report, summary: countOutcomes(report.results) }, null, 2)}\n`;
}
