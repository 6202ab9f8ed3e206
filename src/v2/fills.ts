import { type Datatype, invalid, type TensorData } from "../contracts/index.ts";
import { BF16_LIMIT, FP16_LIMIT, toBfloat16, toFloat16 } from "./float16.ts";
import { shown } from "./messages.ts";

/**
 * Thrown when an integer is beyond 2^53: the text must be parsed again, keeping every digit. One object, to be
 * told apart by identity; where nobody parses again, it is the caller's fault in words.
 */
export const UNSAFE_INTEGER = invalid("An integer beyond 2^53 is not written with all its digits");

/** Reads a run of JSON values into `target` from `offset` on. */
export type Fill = (target: TensorData, offset: number, values: readonly unknown[], where: string) => void;

/** Non-finite numbers as JSON text (protobuf's JSON mapping). */
const NON_FINITE: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

export const FILLS: Readonly<Record<Datatype, Fill>> = {
  BOOL: fillBooleans,
  UINT8: integers("UINT8", 0, 2 ** 8 - 1),
  UINT16: integers("UINT16", 0, 2 ** 16 - 1),
  UINT32: integers("UINT32", 0, 2 ** 32 - 1),
  UINT64: longIntegers("UINT64", 0n, 2n ** 64n - 1n, roundedInteger),
  INT8: integers("INT8", -(2 ** 7), 2 ** 7 - 1),
  INT16: integers("INT16", -(2 ** 15), 2 ** 15 - 1),
  INT32: integers("INT32", -(2 ** 31), 2 ** 31 - 1),
  INT64: longIntegers("INT64", -(2n ** 63n), 2n ** 63n - 1n, roundedInteger),
  FP16: halves("FP16", FP16_LIMIT, toFloat16),
  BF16: halves("BF16", BF16_LIMIT, toBfloat16),
  FP32: fillFloats,
  FP64: fillFloats,
  BYTES: fillBytes,
};

/** For JSON that was parsed with all digits of its integers. */
export const EXACT_FILLS: Readonly<Record<Datatype, Fill>> = {
  ...FILLS,
  UINT64: longIntegers("UINT64", 0n, 2n ** 64n - 1n, exactInteger),
  INT64: longIntegers("INT64", -(2n ** 63n), 2n ** 63n - 1n, exactInteger),
};

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

/** @param limit the smallest magnitude that would round to infinity. */
function halves(datatype: Datatype, limit: number, convert: (value: number) => number): Fill {
  return (target, offset, values, where) => {
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      const number = typeof value === "number" ? value : otherFloat(value, offset + i, where);
      if (Math.abs(number) >= limit && typeof value !== "string")
        throw outOfRange(value, offset + i, where, datatype);
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

type ToBigInt = (value: unknown, index: number, where: string) => bigint;

function longIntegers(datatype: Datatype, smallest: bigint, largest: bigint, toBigInt: ToBigInt): Fill {
  return (target, offset, values, where) => {
    for (let i = 0; i < values.length; i++) {
      const integer = toBigInt(values[i], offset + i, where);
      if (integer < smallest || integer > largest) throw outOfRange(integer, offset + i, where, datatype);
      (target as BigInt64Array)[offset + i] = integer;
    }
  };
}

function roundedInteger(value: unknown, index: number, where: string): bigint {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
    throw UNSAFE_INTEGER;
  return exactInteger(value, index, where);
}

function exactInteger(value: unknown, index: number, where: string): bigint {
  if (typeof value === "bigint") return value;
  if (Number.isSafeInteger(value)) return BigInt(value as number);
  throw invalid(`${where}: element ${index} is ${shown(value)}, not an integer of 64 bits`);
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
