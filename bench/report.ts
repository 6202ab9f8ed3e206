import type { Machine } from "./cpu.ts";

export interface Summary {
  readonly median: number;
  readonly min: number;
}

export function summarise(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  const high = sorted[Math.floor(middle)] ?? Number.NaN;
  return { median: (low + high) / 2, min: sorted[0] ?? Number.NaN };
}

/** The medians of what the machine did beside a row's measurements. */
export function summariseMachine(machines: readonly Machine[]): Machine {
  const median = (field: "idle" | "others" | "load") => summarise(machines.map((m) => m[field])).median;
  return {
    idle: median("idle"),
    others: median("others"),
    load: median("load"),
    cores: machines[0]?.cores ?? 0,
  };
}

export function machineCells({ idle, others, load, cores }: Machine): Record<string, string> {
  return {
    idle: `${(idle * 100).toFixed(0)}%`,
    others: `${(others * 100).toFixed(0)}%`,
    load: `${load.toFixed(1)}/${cores}`,
  };
}

/** `value` beside the most it may be. */
export function againstTarget(value: number, target: number | undefined): string {
  if (target === undefined) return "";
  return `<= ${target} ${value <= target ? "met" : "MISSED"}`;
}

/** Rows of cells as text in columns; the first row's keys are the heading. */
export function formatTable(rows: readonly Readonly<Record<string, string>>[]): string {
  const heading = Object.keys(rows[0] ?? {});
  const lines = [heading, ...rows.map((row) => heading.map((key) => row[key] ?? ""))];
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
