import { type InferRequest, invalid, type Tensor, type TensorSpec } from "../../src/contracts/index.ts";
import { enforceColumn } from "./cast.ts";
import type { ParamSpec, Signature } from "./signature.ts";

export interface Enforced {
  /** By the names of the signature; optional ones may be missing. */
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** The first dimension, which columns have in common. */
  readonly rows: number;
}

/**
 * The request's inputs as the signature wants them. Inputs that it does not name are left out, as in MLflow.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function enforce(signature: Signature, request: InferRequest): Enforced {
  enforceParams(signature.params, request);
  const inputs = new Map<string, Tensor>();
  const absent: string[] = [];
  for (const [index, spec] of signature.inputs.entries()) {
    const given = find(signature, spec, index, request);
    if (given !== undefined) inputs.set(spec.name, checked(signature, given, spec));
    else if (!spec.optional) absent.push(`'${spec.name}'`);
  }
  if (absent.length > 0) throw invalid(`The model also needs the inputs ${absent.join(", ")}`);
  return { inputs, rows: signature.kind === "columns" ? commonRows(inputs) : 0 };
}

function find(
  signature: Signature,
  spec: TensorSpec,
  index: number,
  { inputs }: InferRequest,
): Tensor | undefined {
  return inputs.find(({ name }) => name === spec.name) ?? (signature.named ? undefined : inputs[index]);
}

function checked(signature: Signature, tensor: Tensor, spec: TensorSpec): Tensor {
  const { shape } = tensor;
  const isColumn = shape.length === 1 || (shape.length === 2 && shape[1] === 1);
  const fits = signature.kind === "columns" ? isColumn : fitsShape(shape, spec.shape);
  if (!fits)
    throw invalid(`Input '${spec.name}': shape [${shape}] does not fit the signature's [${spec.shape}]`);
  if (signature.kind === "columns") return enforceColumn(tensor, spec);
  if (tensor.datatype === spec.datatype) return tensor;
  throw invalid(
    `Input '${spec.name}': datatype ${tensor.datatype} is given, and the signature has ${spec.datatype}`,
  );
}

function fitsShape(shape: readonly number[], wanted: readonly number[]): boolean {
  return (
    shape.length === wanted.length && wanted.every((size, index) => size === -1 || size === shape[index])
  );
}

function commonRows(inputs: ReadonlyMap<string, Tensor>): number {
  const [first, ...others] = inputs.values();
  const rows = first?.shape[0] ?? 0;
  const other = others.find(({ shape }) => shape[0] !== rows);
  if (other === undefined) return rows;
  throw invalid(`Input '${other.name}' has ${other.shape[0]} rows, and '${first!.name}' has ${rows}`);
}

/** What a parameter of each MLflow type must be in JSON. */
const IS_PARAM: Readonly<Record<string, (value: unknown) => boolean>> = {
  boolean: (value) => typeof value === "boolean",
  integer: isWhole,
  long: isWhole,
  float: (value) => typeof value === "number" || isWhole(value),
  double: (value) => typeof value === "number" || isWhole(value),
  string: (value) => typeof value === "string",
  datetime: (value) => typeof value === "string" && !Number.isNaN(Date.parse(value)),
};

function isWhole(value: unknown): boolean {
  return typeof value === "bigint" || Number.isInteger(value);
}

/** Parameters that the signature does not name are V2's own, or ignored. */
function enforceParams(params: readonly ParamSpec[], { parameters }: InferRequest): void {
  for (const { name, type } of params) {
    const value = parameters[name];
    if (value === undefined || IS_PARAM[type]?.(value) !== false) continue;
    throw invalid(`Parameter '${name}' is ${JSON.stringify(String(value))}, and the signature has ${type}`);
  }
}
