import type { Datatype, ModelSpec, TensorSpec } from "../../src/contracts/index.ts";
import { failed } from "./mlmodel.ts";

/** A model signature of MLflow (mlflow.types.Schema), its inputs as V2 sees them. */
export interface Signature {
  /** Columns of a data frame, or tensors. */
  readonly kind: "columns" | "tensors";
  /** False: inputs are told apart by their place alone. */
  readonly named: boolean;
  readonly inputs: readonly TensorSpec[];
  readonly params: readonly ParamSpec[];
}

export interface ParamSpec {
  readonly name: string;
  readonly type: string;
}

interface Typed {
  readonly datatype: Datatype;
  /** MLServer's content type for it. */
  readonly content_type: string;
}

/** mlflow.types.DataType, with the content types that MLServer's MLflow runtime gives them. */
const COLUMN_TYPES: Readonly<Record<string, Typed>> = {
  boolean: { datatype: "BOOL", content_type: "np" },
  integer: { datatype: "INT32", content_type: "np" },
  long: { datatype: "INT64", content_type: "np" },
  float: { datatype: "FP32", content_type: "np" },
  double: { datatype: "FP64", content_type: "np" },
  string: { datatype: "BYTES", content_type: "str" },
};

const NUMPY_TYPES: Readonly<Record<string, Datatype>> = {
  bool: "BOOL",
  uint8: "UINT8",
  uint16: "UINT16",
  uint32: "UINT32",
  uint64: "UINT64",
  int8: "INT8",
  int16: "INT16",
  int32: "INT32",
  int64: "INT64",
  float16: "FP16",
  float32: "FP32",
  float64: "FP64",
  str: "BYTES",
  object: "BYTES",
};

interface RawField {
  readonly name?: string | number;
  readonly type?: string;
  readonly required?: boolean;
  /** What `required: false` was called before MLflow 2.10. */
  readonly optional?: boolean;
  readonly "tensor-spec"?: { readonly dtype: string; readonly shape: readonly number[] };
}

/**
 * The signature of an MLmodel file; undefined when it has none, or one without inputs.
 * @throws CapstanError LOAD_FAILED for types that an ONNX model cannot take.
 */
export function readSignature(model: ModelSpec, saved: unknown): Signature | undefined {
  const { inputs, params } = (saved ?? {}) as { inputs?: unknown; params?: unknown };
  const fields = list<RawField>(model, inputs);
  if (fields.length === 0) return undefined;
  return {
    kind: fields[0]!["tensor-spec"] === undefined ? "columns" : "tensors",
    named: fields[0]!.name !== undefined,
    inputs: fields.map((field, index) => inputSpec(model, field, index)),
    params: list<ParamSpec>(model, params),
  };
}

/** MLflow writes schemas as JSON text within the YAML. */
function list<T>(model: ModelSpec, saved: unknown): T[] {
  if (saved === undefined || saved === null) return [];
  try {
    const value: unknown = typeof saved === "string" ? JSON.parse(saved) : saved;
    if (Array.isArray(value)) return value as T[];
  } catch (cause) {
    throw failed(model, `the signature in the MLmodel file is not JSON: ${(cause as Error).message}`, cause);
  }
  throw failed(model, "the signature in the MLmodel file is not a list");
}

function inputSpec(model: ModelSpec, field: RawField, index: number): TensorSpec {
  const name = String(field.name ?? `input-${index}`);
  const optional = field.required === false || field.optional === true ? { optional: true } : {};
  const tensor = field["tensor-spec"];
  if (tensor !== undefined) {
    const datatype = NUMPY_TYPES[tensor.dtype];
    if (datatype === undefined) throw failed(model, refused(name, tensor.dtype));
    return { name, datatype, shape: tensor.shape, ...optional, parameters: { content_type: "np" } };
  }
  const column = Object.hasOwn(COLUMN_TYPES, field.type ?? "") ? COLUMN_TYPES[field.type!] : undefined;
  if (column === undefined) throw failed(model, refused(name, String(field.type)));
  const { datatype, content_type } = column;
  return { name, datatype, shape: [-1, 1], ...optional, parameters: { content_type } };
}

function refused(name: string, type: string): string {
  return `the signature's input '${name}' is of type ${type}, which an ONNX model cannot take`;
}
