import {
  type Datatype,
  elementCount,
  type InferResponse,
  isDatatype,
  type Parameters,
  type Tensor,
  type TensorData,
  type TensorSpec,
} from "../../src/contracts/index.ts";
import { type Element, toData } from "./elements.ts";

/**
 * A tensor as user code may return it. `data` is what contracts ask for, or plain and possibly nested lists of
 * numbers, bigints, booleans, text or bytes. `datatype` may be left out where the declared outputs or the
 * elements tell it (numbers alone are FP64), `shape` where it is that of the lists.
 */
export interface LooseTensor {
  readonly name: string;
  readonly datatype?: Datatype;
  readonly shape?: readonly number[];
  readonly data: TensorData | readonly unknown[];
  readonly parameters?: Parameters;
}

const FORM = "predict() must return { outputs: [{ name, datatype, shape, data }, ...] }";

/**
 * What the code returned as a response.
 * @throws TypeError saying which output is wrong and how.
 */
export function toResponse(answer: unknown, declared: readonly TensorSpec[] = []): InferResponse {
  const { outputs, parameters } = (answer ?? {}) as { outputs?: unknown; parameters?: Parameters };
  if (!Array.isArray(outputs)) throw new TypeError(`${FORM}, and it returned ${describe(answer)}`);
  return {
    outputs: outputs.map((output) => toTensor(output, declared)),
    ...(parameters ? { parameters } : {}),
  };
}

function toTensor(output: Partial<LooseTensor> | undefined, declared: readonly TensorSpec[]): Tensor {
  const { name, data, parameters } = output ?? {};
  if (typeof name !== "string" || data === undefined)
    throw new TypeError(`${FORM}; one is ${describe(output)}`);
  const flat = flatten(data, name);
  const known = declared.find((spec) => spec.name === name)?.datatype;
  const datatype = datatypeOf(name, output?.datatype ?? known, flat.elements);
  if (known !== undefined && known !== datatype) {
    throw new TypeError(`output '${name}' is ${datatype}, and it is declared as ${known}`);
  }
  const shape = output?.shape ?? flat.shape;
  const count = elementCount(shape);
  if (count !== flat.elements.length) {
    throw new TypeError(
      `output '${name}' has ${flat.elements.length} elements, and its shape [${shape}] has ${count}`,
    );
  }
  return {
    name,
    datatype,
    shape,
    data: toData(name, datatype, flat.elements),
    ...(parameters ? { parameters } : {}),
  };
}

/** Typed arrays tell their datatype, except those that hold several (`Uint16Array` is UINT16). */
const BY_ARRAY: Readonly<Record<string, Datatype>> = {
  Uint8Array: "UINT8",
  Uint16Array: "UINT16",
  Uint32Array: "UINT32",
  BigUint64Array: "UINT64",
  Int8Array: "INT8",
  Int16Array: "INT16",
  Int32Array: "INT32",
  BigInt64Array: "INT64",
  Float32Array: "FP32",
  Float64Array: "FP64",
};

function datatypeOf(name: string, given: unknown, elements: ArrayLike<unknown>): Datatype {
  if (isDatatype(given)) return given;
  if (given !== undefined)
    throw new TypeError(`output '${name}' has the unknown datatype ${JSON.stringify(given)}`);
  const byArray = BY_ARRAY[elements.constructor.name];
  if (byArray !== undefined) return byArray;
  const first = elements[0];
  if (typeof first === "string" || first instanceof Uint8Array) return "BYTES";
  if (typeof first === "bigint") return "INT64";
  if (typeof first === "boolean") return "BOOL";
  return "FP64";
}

interface Flat {
  readonly elements: ArrayLike<Element>;
  readonly shape: readonly number[];
}

function flatten(data: unknown, name: string): Flat {
  if (ArrayBuffer.isView(data)) {
    const elements = data as unknown as ArrayLike<Element>;
    return { elements, shape: [elements.length] };
  }
  if (!Array.isArray(data)) throw new TypeError(`output '${name}': data is ${describe(data)}, not a list`);
  const shape: number[] = [];
  for (let level: unknown = data; Array.isArray(level); level = level[0]) shape.push(level.length);
  const elements = data.flat(shape.length - 1) as Element[];
  const ragged = elements.length !== elementCount(shape) || elements.some(Array.isArray);
  if (ragged) throw new TypeError(`output '${name}': its lists are not all of the same length`);
  return { elements, shape };
}

function describe(value: unknown): string {
  const text =
    JSON.stringify(value, (_, each) => (typeof each === "bigint" ? String(each) : each)) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
