import { startCapstan } from "./capstan.ts";
import { type LoadSample, measureLoad } from "./measure.ts";
import { againstTarget, formatTable, machineCells, summarise, summariseMachine } from "./report.ts";
import { isGrpc, type Scenario } from "./scenarios.ts";
import type { RunningServer } from "./server-process.ts";
import { type BenchServer, SERVERS } from "./servers.ts";

export interface LoadOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly models: string;
}

export interface LoadRow {
  readonly scenario: Scenario;
  readonly server: string;
  readonly samples: LoadSample[];
}

const WARM_SECONDS = 0.5;

/**
 * Every scenario on every server that answers it, `rounds` times. The servers take turns within a round, in the
 * opposite order every other round, so that what else the machine does falls on all of them.
 */
export async function runLoadSuite(
  scenarios: readonly Scenario[],
  options: LoadOptions,
  servers: readonly BenchServer[] = SERVERS,
): Promise<LoadRow[]> {
  await using running = new AsyncDisposableStack();
  const measured = await startAll(servers, scenarios, options, running);
  const rows = scenarios.flatMap((scenario) =>
    measured
      .filter(({ server }) => server.answers(scenario))
      .map((entry) => ({ ...entry, row: emptyRow(scenario, entry.server) })),
  );
  for (let round = 0; round < options.rounds; round++) {
    for (const { process, row } of inRoundOrder(rows, round)) {
      const { scenario } = row;
      const address = addressOf(process, scenario);
      const job = { address, scenario, warmSeconds: WARM_SECONDS, seconds: options.seconds };
      row.samples.push(await measureLoad(process.pid, job));
    }
  }
  return rows.map(({ row }) => row);
}

async function startAll(
  servers: readonly BenchServer[],
  scenarios: readonly Scenario[],
  { models }: LoadOptions,
  running: AsyncDisposableStack,
) {
  const start = async (starting: Promise<RunningServer>) => {
    const process = await starting;
    running.defer(async () => void (await process.stop()));
    return process;
  };
  const remote = scenarios.some((scenario) => scenario.remote);
  const upstream = remote ? (await start(startCapstan(models))).ready : undefined;
  const wanted = servers.filter(({ answers }) => scenarios.some(answers));
  const started: { server: BenchServer; process: RunningServer }[] = [];
  for (const server of wanted) {
    started.push({ server, process: await start(server.start({ models, upstream })) });
  }
  return started;
}

function addressOf({ ready }: RunningServer, scenario: Scenario): string {
  const address = isGrpc(scenario) ? ready.grpc : ready.http;
  if (!address) throw new Error(`A server has no address for ${scenario.name}`);
  return address;
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
    "x paired": summarise(pairedRatios(row, floor)).median.toFixed(2),
    target: row.server === "capstan" ? againstTarget(ratio, row.scenario.target) : "",
    "req/s": median("requestsPerSecond").toFixed(0),
    "p50 ms": median("p50Ms").toFixed(2),
    "p99 ms": median("p99Ms").toFixed(2),
    ...machineCells(summariseMachine(row.samples.map((sample) => sample.machine))),
  };
}

/** Round by round against the floor, which was measured just before or after: both had the same neighbours. */
function pairedRatios(row: LoadRow, floor: LoadRow): number[] {
  return row.samples.map((sample, round) => {
    return sample.cpuMsPerRequest / (floor.samples[round]?.cpuMsPerRequest ?? Number.NaN);
  });
}
