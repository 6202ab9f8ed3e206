import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { onnxModel } from "../tests/support/onnx-model.ts";
import { startCapstan } from "./capstan.ts";
import { type Figure, figure } from "./figure.ts";
import { measureLoad } from "./measure.ts";
import { summarise } from "./report.ts";
import type { Scenario } from "./scenarios.ts";
import type { RunningServer } from "./server-process.ts";
import { startServer } from "./server-process.ts";

const BATCH = 64;
/** Columns of the input and width of the hidden layers: 2.5 MB of weights. */
const [COLUMNS, WIDTH] = [64, 760];

const iris = { model: "iris", rows: 1, columns: 4, encoding: "json" } as const;
const mlp = { model: "mlp", rows: 1, columns: COLUMNS, encoding: "json" } as const;
const SCENARIOS: readonly Scenario[] = [
  { name: "forest, 32 clients", ...iris, connections: 32 },
  { name: "MLP of 2.5 MB, 32 clients", ...mlp, connections: 32 },
  { name: "MLP of 2.5 MB, 1 client", ...mlp, connections: 1 },
];

const KINDS = ["floor", "plain", "batching"] as const;
type Kind = (typeof KINDS)[number];

/** One row a request: what joining requests saves, beside a server that cannot do it. */
export async function runBatchingSuite(
  options: { rounds: number; seconds: number; models: string },
  report: (figure: Figure) => void,
): Promise<void> {
  await using running = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), "capstan-bench-"));
  running.defer(() => rm(folder, { recursive: true, force: true }));
  const servers = {} as Record<Kind, RunningServer>;
  for (const kind of KINDS) {
    const repository = path.join(folder, kind);
    await writeModels(repository, options.models, kind === "batching" ? BATCH : 0);
    servers[kind] = await (kind === "floor" ? startFloor(repository) : startCapstan(repository));
    running.defer(async () => void (await servers[kind].stop()));
  }
  for (const scenario of SCENARIOS) {
    const costs = await measure(
      servers,
      scenario,
      Math.min(options.rounds, 5),
      Math.min(options.seconds, 1.5),
    );
    for (const each of figuresOf(scenario, costs)) report(each);
  }
}

function startFloor(repository: string): Promise<RunningServer> {
  return startServer({
    file: process.execPath,
    args: [path.join(import.meta.dirname, "floor.ts"), repository],
  });
}

async function writeModels(repository: string, models: string, max_batch_size: number): Promise<void> {
  for (const name of ["iris", "mlp"]) {
    const settings = { name, implementation: "onnx", max_batch_size, parameters: { uri: "./model.onnx" } };
    await mkdir(path.join(repository, name), { recursive: true });
    await writeFile(path.join(repository, name, "model-settings.json"), JSON.stringify(settings));
  }
  await cp(path.join(models, "iris/model.onnx"), path.join(repository, "iris/model.onnx"));
  await writeFile(path.join(repository, "mlp/model.onnx"), perceptron());
}

/** Three layers. The weights are made when it is loaded, and their values do not matter: a product takes as long. */
function perceptron(): Uint8Array {
  const weights = (name: string) => ({ op: "ConstantOfShape", inputs: [`${name} shape`], outputs: [name] });
  const product = (from: string, by: string, to: string) => ({
    op: "MatMul",
    inputs: [from, by],
    outputs: [to],
  });
  const relu = (from: string, to: string) => ({ op: "Relu", inputs: [from], outputs: [to] });
  return onnxModel({
    inputs: [{ name: "X", datatype: "FP32", shape: ["n", COLUMNS] }],
    outputs: [{ name: "y", datatype: "FP32", shape: ["n", 10] }],
    constants: { "a shape": [COLUMNS, WIDTH], "b shape": [WIDTH, WIDTH], "c shape": [WIDTH, 10] },
    nodes: [
      ...["a", "b", "c"].map(weights),
      product("X", "a", "first"),
      relu("first", "hidden"),
      product("hidden", "b", "second"),
      relu("second", "last"),
      product("last", "c", "y"),
    ],
  });
}

type Costs = Readonly<Record<Kind, number[]>>;

/** In the opposite order every other round, so that what else the machine does falls on all. */
async function measure(
  servers: Readonly<Record<Kind, RunningServer>>,
  scenario: Scenario,
  rounds: number,
  seconds: number,
): Promise<Costs> {
  const costs: Costs = { floor: [], plain: [], batching: [] };
  for (let round = 0; round < rounds; round++) {
    for (const kind of round % 2 === 0 ? KINDS : KINDS.toReversed()) {
      const { pid, ready } = servers[kind];
      const job = { address: ready.http, scenario, warmSeconds: 0.5, seconds };
      costs[kind].push((await measureLoad(pid, job)).cpuMsPerRequest);
    }
  }
  return costs;
}

function figuresOf({ name, model, connections }: Scenario, costs: Costs): Figure[] {
  const [floor, plain, batching] = KINDS.map((kind) => summarise(costs[kind]).min) as [
    number,
    number,
    number,
  ];
  const saved = figure(
    `${name}, CPU without batching, x with`,
    plain / batching,
    "",
    savedTarget(model, connections),
  );
  const figures = [
    figure(`${name}, floor CPU`, floor, "ms", undefined, 3),
    figure(
      `${name}, without batching, x floor`,
      plain / floor,
      "",
      model === "iris" ? ["<=", 1.4] : undefined,
    ),
    figure(`${name}, with batching, x floor`, batching / floor, "", model === "iris" ? ["<=", 1] : undefined),
  ];
  return [...figures, saved];
}

/** A lone client must not pay for it: what is left below 1 is the measurement's. */
function savedTarget(model: string, connections: number): readonly [">=", number] | undefined {
  if (connections === 1) return [">=", 0.95];
  return model === "mlp" ? [">=", 2.5] : undefined;
}
