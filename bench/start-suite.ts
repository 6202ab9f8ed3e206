import { existsSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { capstanCommand, ROOT } from "./capstan.ts";
import { measureStart, type StartSample } from "./measure.ts";
import { againstTarget, formatTable, machineCells, summarise, summariseMachine } from "./report.ts";
import { START_TARGETS } from "./scenarios.ts";

interface StartRow {
  readonly variant: string;
  readonly samples: StartSample[];
}

/** `dist` is there after `npm run build`. */
const VARIANTS = [
  { variant: "source", entry: "src/cli/main.ts" },
  { variant: "dist", entry: "dist/src/cli/main.js" },
];

/** What is started with: tabular models alone, each from its own ONNX file. */
const MODELS = ["iris", "churn", "digits"];

export async function runStartSuite(options: { rounds: number; models: string }): Promise<StartRow[]> {
  const models = await mkdtemp(path.join(tmpdir(), "capstan-bench-"));
  await using removed = new AsyncDisposableStack();
  removed.defer(() => rm(models, { recursive: true, force: true }));
  for (const name of MODELS) {
    await cp(path.join(options.models, name), path.join(models, name), { recursive: true });
  }
  const present = VARIANTS.filter(({ entry }) => existsSync(path.join(ROOT, entry)));
  const rows = present.map(({ variant, entry }) => ({ variant, entry, samples: [] as StartSample[] }));
  for (let round = 0; round < options.rounds; round++) {
    for (const { entry, samples } of rows) {
      samples.push(await measureStart(capstanCommand(entry, models)));
    }
  }
  return rows.map(({ variant, samples }) => ({ variant, samples }));
}

export function formatStartRows(rows: readonly StartRow[]): string {
  return formatTable(rows.map(startCells));
}

function startCells({ variant, samples }: StartRow): Record<string, string> {
  const cpu = summarise(samples.map((sample) => sample.cpuSeconds));
  const rss = summarise(samples.map((sample) => sample.rssMb));
  return {
    start: variant,
    "CPU s min": cpu.min.toFixed(2),
    "CPU s median": cpu.median.toFixed(2),
    "CPU target": againstTarget(cpu.min, START_TARGETS.cpuSeconds),
    "wall s": summarise(samples.map((sample) => sample.wallSeconds)).median.toFixed(2),
    "RSS MB min": rss.min.toFixed(0),
    "RSS MB median": rss.median.toFixed(0),
    "RSS target": againstTarget(rss.min, START_TARGETS.rssMb),
    ...machineCells(summariseMachine(samples.map((sample) => sample.machine))),
  };
}
