import {
  ARRAY_TYPES,
  type Datatype,
  type InferRequest,
  type InferResponse,
  type Parameters,
  type Tensor,
  type TensorData,
  type TensorSpec,
} from "../../contracts/index.ts";

/** Parameters that are for the host or the transport, and do not change what a model answers. */
const NOT_THE_MODELS: ReadonlySet<string> = new Set([
  ...["timeout", "priority"],
  ...["binary_data", "binary_data_size", "binary_data_output"],
]);

/** Whether every tensor of a model has rows: a first dimension that is open. */
export function hasRows(specs: readonly TensorSpec[] | undefined): boolean {
  return specs !== undefined && specs.length > 0 && specs.every(({ shape }) => shape[0] === -1);
}

/** Rows of a request; undefined where its inputs differ in that. */
export function rowsOf({ inputs }: InferRequest): number | undefined {
  const rows = inputs[0]?.shape[0];
  return rows !== undefined && rows > 0 && inputs.every(({ shape }) => shape[0] === rows) ? rows : undefined;
}

/** Equal for requests that may be one: the same inputs but for their rows, the same outputs and parameters. */
export function keyOf({ inputs, outputs, parameters }: InferRequest): string {
  let key = parametersKey(parameters);
  for (const { name, datatype, shape, parameters: own } of inputs) {
    key += `\n${name.length}:${name} ${datatype}`;
    for (let axis = 1; axis < shape.length; axis++) key += ` ${shape[axis]}`;
    if (own !== undefined) key += parametersKey(own);
  }
  for (const { name, parameters: own } of outputs ?? []) {
    key += `\n>${name.length}:${name}${own === undefined ? "" : parametersKey(own)}`;
  }
  return key;
}

function parametersKey(parameters: Parameters): string {
  let key = "";
  for (const name in parameters) {
    if (NOT_THE_MODELS.has(name)) continue;
    const value = parameters[name];
    key += `;${JSON.stringify([name, typeof value, String(value)])}`;
  }
  return key;
}

/** One request with the rows of all, in order. Their keys are equal. */
export function join(requests: readonly InferRequest[]): InferRequest {
  const [first] = requests;
  const inputs = first!.inputs.map((input, index): Tensor => {
    const tensors = requests.map((request) => request.inputs[index]!);
    const rows = tensors.reduce((sum, { shape }) => sum + shape[0]!, 0);
    const data = concatenated(
      input.datatype,
      tensors.map((tensor) => tensor.data),
    );
    return { ...input, shape: [rows, ...input.shape.slice(1)], data };
  });
  return { ...first!, inputs };
}

function concatenated(datatype: Datatype, parts: readonly TensorData[]): TensorData {
  if (datatype === "BYTES") return (parts as readonly Uint8Array[][]).flat();
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new ARRAY_TYPES[datatype](length) as Float32Array;
  let at = 0;
  for (const part of parts as readonly Float32Array[]) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The rows of each request; undefined when an output does not have them. */
export function divide(
  { outputs, parameters }: InferResponse,
  requests: readonly InferRequest[],
): InferResponse[] | undefined {
  const counts = requests.map(({ inputs }) => inputs[0]!.shape[0]!);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (outputs.some(({ shape }) => shape[0] !== total)) return undefined;
  let row = 0;
  return counts.map((count) => {
    const from = row;
    row += count;
    return { parameters, outputs: outputs.map((output) => slice(output, from, count, total)) };
  });
}

/** Views of the same memory: nothing is copied. */
function slice({ data, shape, ...rest }: Tensor, from: number, count: number, total: number): Tensor {
  const size = data.length / total;
  const [start, end] = [from * size, (from + count) * size];
  const rows = Array.isArray(data) ? data.slice(start, end) : data.subarray(start, end);
  return { ...rest, shape: [count, ...shape.slice(1)], data: rows };
}
