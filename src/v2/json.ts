import { invalid } from "../contracts/index.ts";

/** Nested deeper than any tensor can be. */
const DEEPEST = 64;
/** Smaller texts cannot hold enough brackets to do harm, and are not scanned. */
const SCANNED_FROM = 1024 * 1024;

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [34, 92, 91, 93, 123, 125];

/**
 * Parses a request's JSON.
 * @throws CapstanError INVALID_ARGUMENT saying where it stops being JSON, or that it is nested too deep.
 */
export function parseJson(text: Uint8Array): unknown {
  if (text.length >= SCANNED_FROM) checkDepth(text);
  return parse(text, JSON.parse);
}

/** As {@link parseJson}, with integers beyond 2^53 as bigint. Many times slower: only for texts that have some. */
export function parseJsonExactly(text: Uint8Array): unknown {
  return parse(text, (source) => JSON.parse(source, keepDigits as (key: string, value: unknown) => unknown));
}

function parse(text: Uint8Array, read: (source: string) => unknown): unknown {
  if (text.length === 0) throw invalid("The body is empty; it must be a JSON object");
  try {
    return read(Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString("utf8"));
  } catch (cause) {
    throw invalid(`The body is not JSON: ${(cause as Error).message}`, { cause });
  }
}

function keepDigits(_key: string, value: unknown, { source }: { source: string }): unknown {
  const loses = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return loses ? BigInt(source) : value;
}

/** Brackets that open inside strings do not count. */
function checkDepth(text: Uint8Array): void {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text[i]!;
    if (byte === QUOTE) i = endOfString(text, i);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      if (++depth > DEEPEST) throw invalid(`The JSON is nested deeper than ${DEEPEST} levels at byte ${i}`);
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--;
  }
}

function endOfString(text: Uint8Array, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === BACKSLASH) i++;
    else if (text[i] === QUOTE) return i;
  }
  return text.length;
}

export type JsonObject = Record<string, unknown>;

/** @throws CapstanError INVALID_ARGUMENT */
export function asObject(value: unknown, what: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw invalid(`${what} must be a JSON object`);
}
