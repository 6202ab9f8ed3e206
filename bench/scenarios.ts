/** How a request is written: V2 JSON, or V2 with the binary tensor data extension. */
export type Encoding = "json" | "binary";

/** One kind of load. Every server answers it at its own address for `model`. */
export interface Scenario {
  readonly name: string;
  /** A folder of `model-settings/` whose model has one FP32 input `X` of [-1, columns]. */
  readonly model: string;
  readonly rows: number;
  readonly columns: number;
  readonly encoding: Encoding;
  /** Keep-alive connections, each with one request under way. */
  readonly connections: number;
  /** At most so many times the floor's CPU per request. */
  readonly target?: number;
}

const iris = { model: "iris", rows: 1, columns: 4, encoding: "json" } as const;
const digits = { model: "digits", rows: 64, columns: 64 } as const;

export const SCENARIOS: readonly Scenario[] = [
  { name: "json-1x4-c32", ...iris, connections: 32, target: 1.8 },
  { name: "json-1x4-c1", ...iris, connections: 1 },
  { name: "json-64x64-c32", ...digits, encoding: "json", connections: 32, target: 1.3 },
  { name: "binary-64x64-c32", ...digits, encoding: "binary", connections: 32, target: 1.3 },
];

/** From the start of the process to its ready line, with the sample models. */
export const START_TARGETS = { cpuSeconds: 1.5, rssMb: 150 } as const;
