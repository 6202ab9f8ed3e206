import { invalid } from "../contracts/index.ts";

/** Nested deeper than any tensor can be. */
const DEEPEST = 64;

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [34, 92, 91, 93, 123, 125];

/**
 * Refuses JSON that is nested too deep, before it is parsed. Brackets inside strings do not count.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function checkDepth(text: Uint8Array): void {
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
