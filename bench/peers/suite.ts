import { type Figure, figure } from "../figure.ts";
import { type LoadOptions, type LoadRow, runLoadSuite } from "../load-suite.ts";
import { summarise } from "../report.ts";
import type { Scenario } from "../scenarios.ts";
import { CONTENDERS } from "./servers.ts";

const forest = { model: "iris", columns: 4, connections: 32 } as const;
const perceptron = { model: "digits", rows: 64, columns: 64, connections: 32 } as const;

const SCENARIOS: readonly Scenario[] = [
  { name: "JSON, 1 row", rows: 1, encoding: "json", ...forest },
  { name: "JSON, 64 rows", rows: 64, encoding: "json", ...forest },
  { name: "binary, 64 rows", rows: 64, encoding: "binary", ...forest },
  { name: "gRPC raw, 1 row", rows: 1, encoding: "grpc-raw", ...forest },
  { name: "gRPC raw, 64 rows", rows: 64, encoding: "grpc-raw", ...forest },
  { name: "JSON, 64x64", encoding: "json", ...perceptron },
  { name: "binary, 64x64", encoding: "binary", ...perceptron },
];

/** A server and what it is asked, as `server: scenario`. */
type Measured = `${string}: ${string}`;

/** How many times as much CPU time the first takes for a request as the second, and how many it should be at least. */
const COMPARISONS: readonly (readonly [Measured, Measured, number])[] = [
  ["mlserver: JSON, 1 row", "capstan: JSON, 1 row", 5],
  ["mlserver: JSON, 1 row", "capstan, batching: JSON, 1 row", 8],
  ["mlserver: JSON, 64 rows", "capstan: binary, 64 rows", 10],
  ["mlserver: JSON, 64x64", "capstan: binary, 64x64", 10],
  ["mlserver: gRPC raw, 1 row", "capstan: gRPC raw, 1 row", 6],
  ["triton: JSON, 1 row", "capstan, batching: JSON, 1 row", 2],
  ["triton: JSON, 64 rows", "capstan: JSON, 64 rows", 2],
  ["triton: binary, 64 rows", "capstan: binary, 64 rows", 2],
  ["triton: gRPC raw, 1 row", "capstan: gRPC raw, 1 row", 1],
  ["triton: gRPC raw, 64 rows", "capstan: gRPC raw, 64 rows", 1.5],
];

/** CPU time for each request beside the servers that Capstan replaces, with the same model on one thread. */
export async function runPeersSuite(
  options: LoadOptions,
  report: (figure: Figure) => void,
): Promise<LoadRow[]> {
  const rows = await runLoadSuite(SCENARIOS, options, CONTENDERS);
  for (const [other, ours, least] of COMPARISONS) {
    report(figure(`${other} / ${ours}`, cost(rows, other) / cost(rows, ours), "", [">=", least]));
  }
  return rows;
}

function cost(rows: readonly LoadRow[], measured: Measured): number {
  const row = rows.find(({ server, scenario }) => `${server}: ${scenario.name}` === measured);
  return summarise(row?.samples.map(({ cpuMsPerRequest }) => cpuMsPerRequest) ?? []).min;
}
