import {
  ARRAY_TYPES,
  type Datatype,
  invalid,
  type Tensor,
  type TensorSpec,
} from "../../src/contracts/index.ts";

/** How numpy speaks of a datatype: kind (bool, unsigned, int, float, text) and bytes. */
interface Kind {
  readonly kind: "b" | "u" | "i" | "f" | "t";
  readonly size: number;
}

const KINDS: Readonly<Record<Datatype, Kind>> = {
  BOOL: { kind: "b", size: 1 },
  UINT8: { kind: "u", size: 1 },
  UINT16: { kind: "u", size: 2 },
  UINT32: { kind: "u", size: 4 },
  UINT64: { kind: "u", size: 8 },
  INT8: { kind: "i", size: 1 },
  INT16: { kind: "i", size: 2 },
  INT32: { kind: "i", size: 4 },
  INT64: { kind: "i", size: 8 },
  FP16: { kind: "f", size: 2 },
  BF16: { kind: "f", size: 2 },
  FP32: { kind: "f", size: 4 },
  FP64: { kind: "f", size: 8 },
  BYTES: { kind: "t", size: 0 },
};

type Converted =
  | "BOOL"
  | "UINT8"
  | "UINT16"
  | "UINT32"
  | "UINT64"
  | "INT8"
  | "INT16"
  | "INT32"
  | "INT64"
  | "FP32"
  | "FP64";

/**
 * A column in the datatype its signature names. Allowed is what MLflow's `_enforce_mlflow_datatype` allows:
 * a wider type of the same kind, unsigned to a wider signed, integers of up to 32 bits to double, and 64-bit
 * integers to a float where all are 0 or 1.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function enforceColumn(tensor: Tensor, spec: TensorSpec): Tensor {
  const [from, to] = [KINDS[tensor.datatype], KINDS[spec.datatype]];
  if (tensor.datatype === spec.datatype) return tensor;
  if (widens(from, to) || isZerosAndOnes(tensor, spec.datatype))
    return { ...tensor, ...castTo(tensor, spec) };
  throw invalid(
    `Input '${spec.name}': ${tensor.datatype} cannot safely become the signature's ${spec.datatype}`,
  );
}

function widens(from: Kind, to: Kind): boolean {
  // The half floats are bits here, and no column is of their type.
  if (from.kind === "f" && from.size === 2) return false;
  if (from.kind === to.kind) return from.kind !== "t" && from.size <= to.size;
  if (from.kind === "u" && to.kind === "i") return from.size < to.size;
  return (from.kind === "i" || from.kind === "u") && to.kind === "f" && to.size === 8 && from.size <= 4;
}

function isZerosAndOnes({ datatype, data }: Tensor, to: Datatype): boolean {
  if (datatype !== "INT64" || KINDS[to].kind !== "f") return false;
  return (data as BigInt64Array).every((value) => value === 0n || value === 1n);
}

/** Whether values of a signature's datatype may ever become those of the graph's. */
export function castable(from: Datatype, to: Datatype): boolean {
  if (from === to) return true;
  const [a, b] = [KINDS[from].kind, KINDS[to].kind];
  const halves = [from, to].some((each) => each === "FP16" || each === "BF16");
  return !halves && a !== "t" && b !== "t" && b !== "b" && !(a === "f" && b !== "f");
}

/**
 * Values in the datatype of the graph. Floats are rounded to its precision, as MLflow's onnx flavour does with
 * float64; integers must arrive as they are.
 * @throws CapstanError INVALID_ARGUMENT for an integer that the graph's datatype does not hold.
 */
export function castTo(tensor: Tensor, { datatype }: TensorSpec): Pick<Tensor, "datatype" | "data"> {
  if (tensor.datatype === datatype) return { datatype, data: tensor.data };
  const source = tensor.data as ArrayLike<number | bigint>;
  const target = new ARRAY_TYPES[datatype as Converted](source.length) as Float64Array;
  const long = target instanceof BigInt64Array || target instanceof BigUint64Array;
  const mustFit = KINDS[tensor.datatype].kind !== "f";
  for (let index = 0; index < source.length; index += 1) {
    const value = source[index]!;
    target[index] = (long ? BigInt(value) : Number(value)) as number;
    // biome-ignore lint/suspicious/noDoubleEquals: numbers and bigints are compared by value.
    if (mustFit && target[index] != value) {
      throw invalid(`Input '${tensor.name}': ${value} is not a value that the model's ${datatype} holds`);
    }
  }
  return { datatype, data: target };
}

/**
 * An optional column that was left out: missing values, which are NaN as in a data frame.
 * @throws CapstanError INVALID_ARGUMENT where the graph's datatype has no such value.
 */
export function missing(from: TensorSpec, to: TensorSpec, rows: number): Tensor {
  const { datatype } = to;
  if (datatype !== "FP32" && datatype !== "FP64") {
    throw invalid(
      `Input '${from.name}' is left out, and the ONNX model's ${datatype} cannot hold a missing value`,
    );
  }
  const shape = to.shape.map((size, index) => (index === 0 ? rows : Math.abs(size)));
  const data = new ARRAY_TYPES[datatype](shape.reduce((count, size) => count * size, 1)).fill(Number.NaN);
  return { name: to.name, datatype, shape, data };
}
