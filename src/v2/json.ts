import { isUtf8 } from "node:buffer";
import { invalid } from "../contracts/index.ts";
import { checkDepth } from "./json-depth.ts";

/** Smaller texts cannot hold enough brackets to do harm, and are not scanned. */
const SCANNED_FROM = 1024 * 1024;

/**
 * Parses a request's JSON.
 * @throws CapstanError INVALID_ARGUMENT saying where it stops being JSON, or that it is nested too deep.
 */
export function parseJson(text: Uint8Array): unknown {
  if (text.length >= SCANNED_FROM) checkDepth(text);
  return parse(text, JSON.parse);
}

/**
 * As {@link parseJson}, with integers beyond 2^53 that 64 bits can hold as bigint. Many times slower: only for
 * texts that have some.
 */
export function parseJsonExactly(text: Uint8Array): unknown {
  return parse(text, (source) => JSON.parse(source, keepDigits as (key: string, value: unknown) => unknown));
}

function parse(text: Uint8Array, read: (source: string) => unknown): unknown {
  if (text.length === 0) throw invalid("The body is empty; it must be a JSON object");
  if (!isUtf8(text)) throw invalid("The body is not UTF-8 text, as JSON must be");
  try {
    return read(Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString("utf8"));
  } catch (cause) {
    throw invalid(`The body is not JSON: ${(cause as Error).message}`, { cause });
  }
}

const SMALLEST = -(2n ** 63n);
const LARGEST = 2n ** 64n - 1n;

function keepDigits(_key: string, value: unknown, { source }: { source: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value) || !(Math.abs(value) <= 2 ** 64)) return value;
  const integer = Number.isInteger(value) ? exactInteger(source) : undefined;
  return integer !== undefined && integer >= SMALLEST && integer <= LARGEST ? integer : value;
}

const NUMBER = /^(-?\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** The integer that JSON text stands for, such as `9e18` or `9007199254740993.0`; undefined for a fraction. */
function exactInteger(source: string): bigint | undefined {
  const [, whole = "", fraction = "", exponent = "0"] = NUMBER.exec(source) ?? [];
  const digits = whole + fraction;
  const zeros = Number(exponent) - fraction.length;
  if (zeros >= 0) return BigInt(digits + "0".repeat(zeros));
  const isInteger = /^0*$/.test(digits.slice(zeros));
  return isInteger ? BigInt(digits.slice(0, zeros)) : undefined;
}

export type JsonObject = Record<string, unknown>;

/** @throws CapstanError INVALID_ARGUMENT */
export function asObject(value: unknown, what: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw invalid(`${what} must be a JSON object`);
}
