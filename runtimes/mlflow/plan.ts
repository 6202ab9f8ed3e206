import type { ModelSpec, Tensor, TensorSpec } from "../../src/contracts/index.ts";
import { castable, castTo, missing } from "./cast.ts";
import { failed } from "./mlmodel.ts";
import type { Signature } from "./signature.ts";

/** Inputs of the signature, by name and enforced, to what the ONNX model takes. */
export type Feeds = (inputs: ReadonlyMap<string, Tensor>, rows: number) => Tensor[];

/**
 * How the signature's inputs become the ONNX model's, as MLflow's onnx flavour does it: columns go into the
 * one input as a matrix, in the order of the signature, or into the inputs of their names; tensors go into
 * the inputs of their names, or the one into the other.
 * @throws CapstanError LOAD_FAILED where the two cannot fit.
 */
export function planFeeds(model: ModelSpec, signature: Signature, onnx: readonly TensorSpec[]): Feeds {
  const [first] = onnx;
  if (signature.kind === "columns" && onnx.length === 1) return matrixOf(model, signature.inputs, first!);
  const byName = signature.named
    ? onnx.map((target) => source(model, signature, target))
    : sole(model, signature, onnx);
  for (const { from, to } of byName) requireCastable(model, from, to);
  return (inputs, rows) =>
    byName.map(({ from, to }) => {
      const given = inputs.get(from.name);
      if (given === undefined) return missing(from, to, rows);
      return { ...given, name: to.name, shape: fitRank(given.shape, to), ...castTo(given, to) };
    });
}

interface Pair {
  readonly from: TensorSpec;
  readonly to: TensorSpec;
}

function source(model: ModelSpec, signature: Signature, to: TensorSpec): Pair {
  const from = signature.inputs.find(({ name }) => name === to.name);
  if (from !== undefined) return { from, to };
  throw failed(model, `the ONNX model takes '${to.name}', and the signature has ${names(signature.inputs)}`);
}

function sole(model: ModelSpec, { inputs }: Signature, onnx: readonly TensorSpec[]): Pair[] {
  if (inputs.length === 1 && onnx.length === 1) return [{ from: inputs[0]!, to: onnx[0]! }];
  throw failed(model, `the signature's inputs have no names, and the ONNX model has several: ${names(onnx)}`);
}

function requireCastable(model: ModelSpec, from: TensorSpec, to: TensorSpec): void {
  if (castable(from.datatype, to.datatype)) return;
  throw failed(
    model,
    `the signature's input '${from.name}' is ${from.datatype}, and the ONNX model takes ${to.datatype} in '${to.name}'`,
  );
}

/** A column is `[n,1]` in a signature; the graph may want `[n]`, and the other way round. */
function fitRank(shape: readonly number[], to: TensorSpec): readonly number[] {
  if (shape.length === 2 && shape[1] === 1 && to.shape.length === 1) return shape.slice(0, 1);
  return shape.length === 1 && to.shape.length === 2 ? [...shape, 1] : shape;
}

function matrixOf(model: ModelSpec, columns: readonly TensorSpec[], to: TensorSpec): Feeds {
  for (const column of columns) requireCastable(model, column, to);
  const width = to.shape[1] ?? 1;
  if (width !== -1 && width !== columns.length) {
    throw failed(
      model,
      `the signature has ${columns.length} columns, and the ONNX input '${to.name}' takes ${width}`,
    );
  }
  return (inputs, rows) => {
    const parts = columns.map((column) => {
      const given = inputs.get(column.name);
      return given === undefined
        ? missing(column, { ...to, shape: [-1] }, rows)
        : { ...given, ...castTo(given, to) };
    });
    const shape = to.shape.length === 1 ? [rows] : [rows, columns.length];
    return [{ name: to.name, datatype: to.datatype, shape, data: interleave(parts, rows) }];
  };
}

/** Columns of the same datatype as row-major rows. */
function interleave(columns: readonly Tensor[], rows: number): Tensor["data"] {
  const width = columns.length;
  const data = emptyLike(columns[0]!.data, rows * width) as unknown as number[];
  for (const [index, column] of columns.entries()) {
    for (let row = 0; row < rows; row += 1) data[row * width + index] = column.data[row] as number;
  }
  return data as unknown as Tensor["data"];
}

function emptyLike(data: Tensor["data"], length: number): Tensor["data"] {
  const Kind = data.constructor as new (length: number) => Tensor["data"];
  return new Kind(length);
}

const names = (specs: readonly TensorSpec[]) => specs.map(({ name }) => `'${name}'`).join(", ");
