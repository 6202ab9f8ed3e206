import { type LoadSample, measureLoad } from "./measure.ts";
import { againstTarget, formatTable, machineCells, summarise, summariseMachine } from "./report.ts";
import type { Scenario } from "./scenarios.ts";
import { type ServerProcess, startServer } from "./server-process.ts";
import { type BenchServer, SERVERS } from "./servers.ts";

export interface LoadOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly models: string;
}

interface LoadRow {
  readonly scenario: Scenario;
  readonly server: string;
  readonly samples: LoadSample[];
}

const WARM_SECONDS = 0.5;

/**
 * Every scenario on every server, `rounds` times. The servers take turns within a round, in the opposite order
 * every other round, so that what else the machine does falls on all of them.
 */
export async function runLoadSuite(scenarios: readonly Scenario[], options: LoadOptions): Promise<LoadRow[]> {
  await using running = new AsyncDisposableStack();
  const measured = await startAll(options.models, running);
  const rows = scenarios.flatMap((scenario) =>
    measured.map((entry) => ({ ...entry, row: emptyRow(scenario, entry.server) })),
  );
  for (let round = 0; round < options.rounds; round++) {
    for (const { server, process, row } of inRoundOrder(rows, round)) {
      const url = server.url(process.ready, row.scenario);
      const job = { url, scenario: row.scenario, warmSeconds: WARM_SECONDS, seconds: options.seconds };
      row.samples.push(await measureLoad(process.pid, job));
    }
  }
  return rows.map(({ row }) => row);
}

async function startAll(models: string, running: AsyncDisposableStack) {
  const started: { server: BenchServer; process: ServerProcess }[] = [];
  for (const server of SERVERS) {
    const process = await startServer(server.command(models));
    running.defer(async () => void (await process.stop()));
    started.push({ server, process });
  }
  return started;
}

function emptyRow(scenario: Scenario, server: BenchServer): LoadRow {
  return { scenario, server: server.name, samples: [] };
}

function inRoundOrder<T>(rows: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? rows : rows.toReversed();
}

export function formatLoadRows(rows: readonly LoadRow[]): string {
  return formatTable(rows.map((row) => loadCells(row, floorOf(row, rows))));
}

function floorOf(row: LoadRow, rows: readonly LoadRow[]): LoadRow {
  return rows.find(({ scenario }) => scenario === row.scenario) ?? row;
}

function loadCells(row: LoadRow, floor: LoadRow): Record<string, string> {
  const cpu = summarise(row.samples.map((sample) => sample.cpuMsPerRequest));
  const least = summarise(floor.samples.map((sample) => sample.cpuMsPerRequest));
  const ratio = cpu.min / least.min;
  const median = (field: "requestsPerSecond" | "p50Ms" | "p99Ms") =>
    summarise(row.samples.map((sample) => sample[field])).median;
  return {
    scenario: row.scenario.name,
    server: row.server,
    "CPU ms/req min": cpu.min.toFixed(3),
    median: cpu.median.toFixed(3),
    "x floor min": ratio.toFixed(2),
    "x median": (cpu.median / least.median).toFixed(2),
    target: row === floor ? "" : againstTarget(ratio, row.scenario.target),
    "req/s": median("requestsPerSecond").toFixed(0),
    "p50 ms": median("p50Ms").toFixed(2),
    "p99 ms": median("p99Ms").toFixed(2),
    ...machineCells(summariseMachine(row.samples.map((sample) => sample.machine))),
  };
}
