import { fileURLToPath } from "node:url";
import langchain from "../adapters/langchain/index.ts";
import type { CapLLM, ModelClient, ModelSpec } from "../src/contracts/index.ts";
import { UserModule } from "../src/host/user-code/user-module.ts";
import { testCall, testHost } from "../src/testing/index.ts";
import { type Machine, machineBetween, sampleMachine, treeCpuMs } from "./cpu.ts";
import { chain, graph, TOKENS } from "./langchain-app.ts";
import { againstTarget, formatTable, machineCells, summarise, summariseMachine } from "./report.ts";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const SPEC: ModelSpec = { name: "bench", version: "1", folder: FOLDER, artifact: FOLDER };
/** Microseconds that a token may take beyond the library's own stream. */
const TARGET = 10;
/** Answers of one sample: the kernel counts CPU time in steps of 10 ms. */
const ANSWERS = 20;

interface LangchainRow {
  readonly application: string;
  /** Microseconds of CPU time for each token, one entry a round. */
  readonly library: number[];
  readonly served: number[];
  readonly machines: Machine[];
}

interface Variant {
  readonly application: string;
  readonly options: object;
  readonly stream: () => Promise<AsyncIterable<unknown>>;
  readonly target: number;
}

const asked = { messages: [{ role: "user" as const, content: "hi" }] };
const streamChain = async () => chain.stream({ question: "hi" });

const VARIANTS: readonly Variant[] = [
  {
    application: "graph",
    options: { entry: "./langchain-app.ts:graph" },
    stream: async () => graph.stream(asked, { streamMode: ["messages", "values"] }),
    target: TARGET,
  },
  {
    application: "chain",
    options: { entry: "./langchain-app.ts:servedChain", llm: "capstan:any" },
    stream: streamChain,
    target: TARGET,
  },
  {
    application: "chain, own model",
    options: { entry: "./langchain-app.ts:chain" },
    stream: streamChain,
    target: TARGET,
  },
];

/** What a token costs through the adapter, and in the library's own stream, in this process. */
export async function runLangchainSuite(options: { rounds: number }): Promise<LangchainRow[]> {
  const rows: LangchainRow[] = [];
  for (const variant of VARIANTS) {
    const row: LangchainRow = { application: variant.application, library: [], served: [], machines: [] };
    await using llm = await open(variant.options);
    const served = async () => llm.streamTokens({ ...asked, sampling: {} }, testCall());
    await cpuOf(variant.stream);
    await cpuOf(served);
    for (let round = 0; round < options.rounds; round++) {
      const before = sampleMachine();
      row.library.push(await cpuOf(variant.stream));
      row.served.push(await cpuOf(served));
      const measured = ((row.library.at(-1)! + row.served.at(-1)!) * TOKENS * ANSWERS) / 1000;
      row.machines.push(machineBetween(before, sampleMachine(), measured));
    }
    rows.push(row);
  }
  return rows;
}

async function open(options: object): Promise<CapLLM> {
  const host = testHost({
    code: (file, call) => UserModule.import(FOLDER, file, call),
    model: () => ({}) as ModelClient,
  });
  const parsed = langchain.options.safeParse(options);
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return langchain.load(SPEC, parsed.data, host, testCall());
}

async function cpuOf(stream: () => Promise<AsyncIterable<unknown>>): Promise<number> {
  const before = treeCpuMs(process.pid);
  for (let answer = 0; answer < ANSWERS; answer++) {
    for await (const _ of await stream());
  }
  return ((treeCpuMs(process.pid) - before) * 1000) / (TOKENS * ANSWERS);
}

export function formatLangchainRows(rows: readonly LangchainRow[]): string {
  return formatTable(rows.map(cells));
}

function cells({ application, library, served, machines }: LangchainRow): Record<string, string> {
  const [own, ours] = [summarise(library).min, summarise(served).min];
  return {
    langchain: application,
    "library us/token": own.toFixed(1),
    "served us/token": ours.toFixed(1),
    added: (ours - own).toFixed(1),
    target: againstTarget(ours - own, VARIANTS.find((each) => each.application === application)?.target),
    ...machineCells(summariseMachine(machines)),
  };
}
