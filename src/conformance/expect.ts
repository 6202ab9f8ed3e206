/** Assertions of the checks: each failure says what was wanted and what came. */
import { CheckFailure } from "./types.ts";

/** @throws CheckFailure with `message` unless `condition` holds. */
export function expect(condition: unknown, message: string): asserts condition {
  if (!condition) throw new CheckFailure(message);
}

/** A value as it appears in messages: JSON, cut at 200 characters. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? `${part}` : part));
  return cut(text ?? String(value), 200);
}

/** Text cut to a length, saying how much is missing. */
export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}... (${text.length} characters)`;
}

export function expectEqual(actual: unknown, wanted: unknown, what: string): void {
  expect(shown(actual) === shown(wanted), `${what}: expected ${shown(wanted)}, got ${shown(actual)}`);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws CheckFailure unless `value` is a JSON object. */
export function record(value: unknown, what: string): Record<string, unknown> {
  expect(isRecord(value), `${what} must be an object, got ${shown(value)}`);
  return value;
}

/** @throws CheckFailure unless `value` is an array. */
export function array(value: unknown, what: string): unknown[] {
  expect(Array.isArray(value), `${what} must be an array, got ${shown(value)}`);
  return value;
}

/** @throws CheckFailure unless `value` is a string. */
export function string(value: unknown, what: string): string {
  expect(typeof value === "string", `${what} must be a string, got ${shown(value)}`);
  return value;
}
