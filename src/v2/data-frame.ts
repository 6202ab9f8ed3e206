import {
  ARRAY_TYPES,
  type Datatype,
  elementCount,
  invalid,
  type Tensor,
  type TensorSpec,
} from "../contracts/index.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "./float16.ts";

const FLOATS: ReadonlySet<Datatype> = new Set(["FP16", "BF16", "FP32", "FP64"]);
type Convert = (value: number) => number;
const TO_BITS: Partial<Record<Datatype, Convert>> = { FP16: toFloat16, BF16: toBfloat16 };
const FROM_BITS: Partial<Record<Datatype, Convert>> = { FP16: fromFloat16, BF16: fromBfloat16 };

/**
 * A data frame for a model that takes one matrix: the inputs are its columns, in their order. Other models
 * take the columns as inputs of their own, and get `inputs` themselves back.
 * @throws CapstanError INVALID_ARGUMENT for a column of another length, or a value the matrix cannot hold.
 */
export function assembleColumns(
  inputs: readonly Tensor[],
  specs: readonly TensorSpec[] | undefined,
): readonly Tensor[] {
  const [spec, ...others] = specs ?? [];
  const isMatrix = spec?.shape.length === 2 && spec.datatype !== "BYTES" && others.length === 0;
  if (spec === undefined || !isMatrix || inputs.some(({ name }) => name === spec.name)) return inputs;
  const [first] = inputs;
  if (first === undefined) return inputs;
  const rows = first.shape[0] ?? 1;
  for (const column of inputs) checkColumn(column, rows);
  return [matrixOf(spec, inputs, rows)];
}

function checkColumn({ name, datatype, shape }: Tensor, rows: number): void {
  const isFlat = shape.length === 1 || (shape.length === 2 && shape[1] === 1);
  if (isFlat && elementCount(shape) === rows && datatype !== "BYTES") return;
  throw invalid(
    `Input '${name}': ${datatype} [${shape}] is not a column of ${rows} numbers, and the model takes one matrix`,
  );
}

function matrixOf({ name, datatype }: TensorSpec, columns: readonly Tensor[], rows: number): Tensor {
  const width = columns.length;
  const data = new ARRAY_TYPES[datatype as "FP64"](rows * width);
  const matrix: Tensor = { name, datatype, shape: [rows, width], data };
  for (const [index, column] of columns.entries()) {
    for (let row = 0; row < rows; row++) {
      const value = numberAt(column, row);
      if (store(matrix, row * width + index, value, FLOATS.has(column.datatype))) continue;
      throw invalid(`Input '${column.name}': ${value} cannot be a value of the model's ${datatype} matrix`);
    }
  }
  return matrix;
}

function numberAt({ datatype, data }: Tensor, index: number): number | bigint {
  const element = (data as Float64Array | BigInt64Array)[index]!;
  return typeof element === "bigint" ? element : (FROM_BITS[datatype]?.(element) ?? element);
}

/**
 * Stores a value in the matrix, and says whether it arrived: floats may be rounded to the precision of a float
 * matrix, everything else must be the same as before.
 */
function store(matrix: Tensor, index: number, value: number | bigint, isFloat: boolean): boolean {
  const { datatype } = matrix;
  if (datatype === "INT64" || datatype === "UINT64") return storeLong(matrix, index, value);
  const number = Number(value);
  if (datatype === "BOOL" && number !== 0 && number !== 1) return false;
  (matrix.data as Float64Array)[index] = TO_BITS[datatype]?.(number) ?? number;
  const stored = Number(numberAt(matrix, index));
  if (isFloat && FLOATS.has(datatype)) return Number.isFinite(stored) || !Number.isFinite(number);
  return typeof value === "bigint" ? Number.isInteger(stored) && BigInt(stored) === value : stored === value;
}

function storeLong({ data }: Tensor, index: number, value: number | bigint): boolean {
  if (typeof value === "number" && !Number.isInteger(value)) return false;
  const integer = BigInt(value);
  (data as BigInt64Array)[index] = integer;
  return (data as BigInt64Array)[index] === integer;
}
