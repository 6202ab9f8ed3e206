import { elementCount, invalid, type Tensor, type TensorSpec } from "../../contracts/index.ts";
import { readJsonElements } from "../../v2/elements.ts";
import { cellValue } from "./csv.ts";
import { isObject, type Payload, type Table } from "./payload.ts";

/**
 * What was posted as the inputs of a model. A data frame's columns go to the inputs of their names; a model
 * with one matrix takes them all, in their order. What the model does not name is left out, as in MLflow.
 * @throws CapstanError INVALID_ARGUMENT; UNSAFE_INTEGER when the JSON must be parsed with all its digits.
 */
export function inputsOf(payload: Payload, specs: readonly TensorSpec[]): Tensor[] {
  if (payload.kind === "table")
    return isWhole(payload, specs) ? [matrix(payload, specs[0]!)] : columns(payload, specs);
  const { value } = payload;
  if (isObject(value)) return named(specs, (name) => value[name]);
  if (specs.length === 1) return [tensor(specs[0]!, value)];
  const names = specs.map(({ name }) => `'${name}'`).join(", ");
  throw invalid(`The model has the inputs ${names}: send an object with a list for each`);
}

/** The table is the value of the one input, and not a table with a column of that name. */
function isWhole({ columns, rows }: Table, [spec, ...others]: readonly TensorSpec[]): boolean {
  if (spec === undefined || others.length > 0 || columns?.includes(spec.name)) return false;
  const width = columns?.length ?? rows[0]?.length ?? 0;
  const isColumn = spec.shape.length < 2 || (spec.shape.length === 2 && spec.shape[1] === 1);
  return !isColumn || (columns === undefined && width === 1);
}

function matrix({ columns, rows, text }: Table, spec: TensorSpec): Tensor {
  const width = columns?.length ?? rows[0]?.length;
  const cells = text ? rows.map((row) => row.map((cell) => cellValue(cell as string, spec.datatype))) : rows;
  // One column of lists holds the tensor's rows themselves.
  return tensor(spec, width === 1 && Array.isArray(rows[0]?.[0]) ? cells.map(([cell]) => cell) : cells);
}

function columns(table: Table, specs: readonly TensorSpec[]): Tensor[] {
  const places = new Map(table.columns?.map((name, index) => [name, index]));
  const byPlace = new Map(specs.map(({ name }, index) => [name, index]));
  const width = table.rows[0]?.length ?? 0;
  return named(specs, (name, { datatype }) => {
    const at = (table.columns === undefined ? byPlace : places).get(name);
    if (at === undefined || at >= width) return undefined;
    return table.rows.map((row) => (table.text ? cellValue(row[at] as string, datatype) : row[at]));
  });
}

function named(specs: readonly TensorSpec[], find: (name: string, spec: TensorSpec) => unknown): Tensor[] {
  const absent: string[] = [];
  const tensors = specs.flatMap((spec) => {
    const value = find(spec.name, spec);
    if (value !== undefined) return [tensor(spec, value)];
    if (!spec.optional) absent.push(`'${spec.name}'`);
    return [];
  });
  if (absent.length > 0) throw invalid(`The model also needs the inputs ${absent.join(", ")}`);
  return tensors;
}

function tensor(spec: TensorSpec, value: unknown): Tensor {
  const { name, datatype } = spec;
  const data = Array.isArray(value) ? value : [value];
  const shape = shapeOf(data);
  const elements = datatype.startsWith("FP") || datatype === "BF16" ? withNaN(data) : data;
  const where = `Input '${name}'`;
  return {
    name,
    datatype,
    shape: fitted(shape, spec.shape),
    data: readJsonElements(datatype, shape, elementCount(shape), elements, where),
  };
}

/** Told by the first element of each level; the reader checks the others. */
function shapeOf(data: readonly unknown[]): number[] {
  const shape: number[] = [];
  for (let level: unknown = data; Array.isArray(level); level = level[0]) shape.push(level.length);
  return shape;
}

/** A missing value of a data frame: null in JSON, or a record without that field. */
function withNaN(data: readonly unknown[]): unknown[] {
  return data.map((value) => {
    if (Array.isArray(value)) return withNaN(value);
    return value === null || value === undefined ? "NaN" : value;
  });
}

/** Rows may hold their values flat (MLflow reshapes lists in a data frame): the model's shape with those rows. */
function fitted(shape: readonly number[], wanted: readonly number[]): readonly number[] {
  if (shape.length === wanted.length) return shape;
  const [rows = 0] = shape;
  const target = wanted.map((size, index) => (index === 0 && size === -1 ? rows : size));
  return !target.includes(-1) && target[0] === rows && elementCount(target) === elementCount(shape)
    ? target
    : shape;
}
