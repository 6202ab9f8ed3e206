import { type Datatype, invalid, type TensorData } from "../contracts/index.ts";
import { ARRAY_TYPES } from "./arrays.ts";
import { BF16_MAX, FP16_MAX, toBfloat16, toFloat16 } from "./float16.ts";

/** Thrown when an integer is beyond 2^53: the text must be parsed again, keeping every digit. */
export const UNSAFE_INTEGER = Symbol("unsafe integer");

/** Reads a run of JSON values into `target` from `offset` on. */
type Fill = (target: TensorData, offset: number, values: readonly unknown[], where: string) => void;

/** Non-finite numbers as JSON text (protobuf's JSON mapping). */
const NON_FINITE: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

const FILLS: Readonly<Record<Datatype, Fill>> = {
  BOOL: fillBooleans,
  UINT8: integers("UINT8", 0, 2 ** 8 - 1),
  UINT16: integers("UINT16", 0, 2 ** 16 - 1),
  UINT32: integers("UINT32", 0, 2 ** 32 - 1),
  UINT64: longIntegers("UINT64", 0n, 2n ** 64n - 1n),
  INT8: integers("INT8", -(2 ** 7), 2 ** 7 - 1),
  INT16: integers("INT16", -(2 ** 15), 2 ** 15 - 1),
  INT32: integers("INT32", -(2 ** 31), 2 ** 31 - 1),
  INT64: longIntegers("INT64", -(2n ** 63n), 2n ** 63n - 1n),
  FP16: halves("FP16", FP16_MAX, toFloat16),
  BF16: halves("BF16", BF16_MAX, toBfloat16),
  FP32: fillFloats,
  FP64: fillFloats,
  BYTES: fillBytes,
};

/**
 * The elements of a JSON tensor, given flat or nested as its shape (row-major). Every value is checked.
 * @param count product of `shape`.
 * @throws CapstanError INVALID_ARGUMENT naming the element; UNSAFE_INTEGER when digits would be lost.
 */
export function readJsonElements(
  datatype: Datatype,
  shape: readonly number[],
  count: number,
  data: unknown,
  where: string,
): TensorData {
  if (!Array.isArray(data)) throw invalid(`${where}: 'data' must be an array, not ${shown(data)}`);
  const nested = shape.length > 1 && Array.isArray(data[0]);
  if (!nested && data.length !== count) {
    throw invalid(`${where}: shape [${shape}] has ${count} elements, and 'data' has ${data.length}`);
  }
  if (nested) checkNesting(shape, 0, data, where);
  const target: TensorData = datatype === "BYTES" ? new Array(count) : new ARRAY_TYPES[datatype](count);
  const fill = FILLS[datatype];
  if (nested) fillNested(fill, target, shape.length - 1, 0, data, where);
  else fill(target, 0, data, where);
  return target;
}

/** Lists as long and as deep as the shape says: checked before anything is allocated for it. */
function checkNesting(
  shape: readonly number[],
  depth: number,
  data: readonly unknown[],
  where: string,
): void {
  if (data.length !== shape[depth]) {
    throw invalid(
      `${where}: nested 'data' has a list of ${data.length} where shape [${shape}] has ${shape[depth]}`,
    );
  }
  if (depth === shape.length - 1) return;
  for (const row of data) {
    if (!Array.isArray(row))
      throw invalid(`${where}: nested 'data' has ${shown(row)} where shape [${shape}] has a list`);
    checkNesting(shape, depth + 1, row, where);
  }
}

/** Reads the lists at the bottom in turn; returns the offset behind what was read. */
function fillNested(
  fill: Fill,
  target: TensorData,
  levels: number,
  offset: number,
  data: unknown[],
  where: string,
): number {
  if (levels === 0) {
    fill(target, offset, data, where);
    return offset + data.length;
  }
  let at = offset;
  for (const row of data) at = fillNested(fill, target, levels - 1, at, row as unknown[], where);
  return at;
}

function fillFloats(data: TensorData, offset: number, values: readonly unknown[], where: string): void {
  const target = data as Float32Array | Float64Array;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value !== "number") {
      target[offset + i] = otherFloat(value, offset + i, where);
      continue;
    }
    target[offset + i] = value;
    if (!Number.isFinite(target[offset + i]))
      throw outOfRange(value, offset + i, where, `FP${target.BYTES_PER_ELEMENT * 8}`);
  }
}

/** What is not a JSON number may be one of three words, or an integer that was parsed with all its digits. */
function otherFloat(value: unknown, index: number, where: string): number {
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "string" && Object.hasOwn(NON_FINITE, value)) return NON_FINITE[value]!;
  throw invalid(
    `${where}: element ${index} is ${shown(value)}, not a number ("NaN", "Infinity" and "-Infinity" are text)`,
  );
}

function halves(datatype: Datatype, largest: number, convert: (value: number) => number): Fill {
  return (target, offset, values, where) => {
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      const isNumber = typeof value === "number";
      const number = isNumber ? value : otherFloat(value, offset + i, where);
      if (isNumber && Math.abs(number) > largest) throw outOfRange(number, offset + i, where, datatype);
      (target as Uint16Array)[offset + i] = convert(number);
    }
  };
}

function integers(datatype: Datatype, smallest: number, largest: number): Fill {
  return (target, offset, values, where) => {
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (!Number.isInteger(value) && typeof value !== "bigint") throw notInteger(value, offset + i, where);
      const number = Number(value);
      if (number < smallest || number > largest) throw outOfRange(value, offset + i, where, datatype);
      (target as Int32Array)[offset + i] = number;
    }
  };
}

function longIntegers(datatype: Datatype, smallest: bigint, largest: bigint): Fill {
  return (target, offset, values, where) => {
    for (let i = 0; i < values.length; i++) {
      const integer = toBigInt(values[i], offset + i, where);
      if (integer < smallest || integer > largest) throw outOfRange(integer, offset + i, where, datatype);
      (target as BigInt64Array)[offset + i] = integer;
    }
  };
}

function toBigInt(value: unknown, index: number, where: string): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value !== "number" || !Number.isInteger(value)) throw notInteger(value, index, where);
  if (!Number.isSafeInteger(value)) throw UNSAFE_INTEGER;
  return BigInt(value);
}

function fillBooleans(target: TensorData, offset: number, values: readonly unknown[], where: string): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value !== "boolean")
      throw invalid(`${where}: element ${offset + i} is ${shown(value)}, not true or false`);
    (target as Uint8Array)[offset + i] = value ? 1 : 0;
  }
}

function fillBytes(target: TensorData, offset: number, values: readonly unknown[], where: string): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value !== "string")
      throw invalid(`${where}: element ${offset + i} is ${shown(value)}, not a string`);
    if (!value.isWellFormed())
      throw invalid(`${where}: element ${offset + i} has half a surrogate pair, which is no UTF-8`);
    (target as Uint8Array[])[offset + i] = Buffer.from(value, "utf8");
  }
}

function notInteger(value: unknown, index: number, where: string): Error {
  return invalid(`${where}: element ${index} is ${shown(value)}, not an integer`);
}

function outOfRange(value: unknown, index: number, where: string, datatype: string): Error {
  return invalid(`${where}: element ${index} is ${shown(value)}, which is outside the range of ${datatype}`);
}

const LONGEST_SHOWN = 40;

/** A caller's value in a message: short, whatever it is. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN)}...` : value);
}
