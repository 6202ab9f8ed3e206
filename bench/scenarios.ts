/** How a request is written: V2 JSON, V2 with the binary tensor data extension, V2 gRPC raw or typed contents. */
export type Encoding = "json" | "binary" | "grpc-raw" | "grpc-typed";

/** One kind of load. Every server answers it at its own address for `model`. */
export interface Scenario {
  readonly name: string;
  /** A folder of `model-settings/` whose model has one FP32 input `X` of [-1, columns]. */
  readonly model: string;
  readonly rows: number;
  readonly columns: number;
  readonly encoding: Encoding;
  /** Requests under way at a time: over HTTP each has a keep-alive connection of its own. */
  readonly connections: number;
  /** The model is on another server, and only what stands in front of it is measured. */
  readonly remote?: boolean;
  /** At most so many times the floor's CPU per request. */
  readonly target?: number;
}

const iris = { model: "iris", rows: 1, columns: 4 } as const;
const digits = { model: "digits", rows: 64, columns: 64 } as const;

export const SCENARIOS: readonly Scenario[] = [
  { name: "json-1x4-c32", ...iris, encoding: "json", connections: 32, target: 1.4 },
  { name: "json-1x4-c1", ...iris, encoding: "json", connections: 1 },
  { name: "json-64x64-c32", ...digits, encoding: "json", connections: 32, target: 1.3 },
  { name: "binary-64x64-c32", ...digits, encoding: "binary", connections: 32, target: 1.3 },
  { name: "grpc-raw-1x4-c32", ...iris, encoding: "grpc-raw", connections: 32, target: 1.6 },
  { name: "grpc-raw-64x64-c32", ...digits, encoding: "grpc-raw", connections: 32, target: 1.6 },
  { name: "grpc-typed-64x64-c32", ...digits, encoding: "grpc-typed", connections: 32 },
  { name: "remote-json-1x4-c32", ...iris, encoding: "json", connections: 32, remote: true, target: 1.5 },
  {
    name: "remote-grpc-raw-1x4-c32",
    ...iris,
    encoding: "grpc-raw",
    connections: 32,
    remote: true,
    target: 1.5,
  },
];

export function isGrpc({ encoding }: Scenario): boolean {
  return encoding === "grpc-raw" || encoding === "grpc-typed";
}

/** From the start of the process to its ready line, with three ONNX models. */
export const START_TARGETS = { cpuSeconds: 1, rssMb: 130 } as const;
