import type { Estimate } from "./estimate.ts";

/** Usage stands at the end of an answer. */
const TAIL_BYTES = 64 * 1024;
/** In an answer's own JSON: within a text of the model the quotes would be escaped. */
const USAGE = /"usage"\s*:\s*(\{)/g;

/** What an upstream's answer said that it used, or undefined; `pieces` are its events. */
export interface Told {
  readonly usage: Estimate | undefined;
  readonly pieces: number;
  /** The body was read to its end. */
  readonly whole: boolean;
}

/** The same response; `done` is called once, when its body has ended in whatever way. */
export function whenTold(response: Response, done: (told: Told) => void): Response {
  const reader = new TailReader();
  const over = (whole: boolean) => done({ usage: usageIn(reader.tail), pieces: reader.pieces, whole });
  if (response.body === null) {
    over(true);
    return response;
  }
  const tap = new TransformStream<Uint8Array, Uint8Array>({
    transform(bytes, controller) {
      reader.see(bytes);
      controller.enqueue(bytes);
    },
    flush: () => over(true),
    cancel: () => over(false),
  });
  const { status, statusText, headers } = response;
  return new Response(response.body.pipeThrough(tap), { status, statusText, headers });
}

class TailReader {
  readonly #decoder = new TextDecoder();
  tail = "";
  pieces = 0;

  see(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true });
    this.pieces += text.split("\ndata:").length - 1;
    this.tail = (this.tail + text).slice(-TAIL_BYTES);
  }
}

/** The last one with numbers: a caller's schema, which an answer may repeat, has none. */
export function usageIn(text: string): Estimate | undefined {
  const found = [...text.matchAll(USAGE)].reverse();
  for (const match of found) {
    const usage = objectAt(text, match.index + match[0].length - 1);
    const prompt = numberOf(usage?.input_tokens ?? usage?.prompt_tokens);
    const output = numberOf(usage?.output_tokens ?? usage?.completion_tokens);
    if (prompt !== undefined || output !== undefined) return { prompt: prompt ?? 0, output: output ?? 0 };
  }
  return undefined;
}

/** The object whose brace opens at `start`; its own strings have no braces. */
function objectAt(text: string, start: number): Record<string, unknown> | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "{") depth += 1;
    if (text[at] === "}") depth -= 1;
    if (depth > 0) continue;
    try {
      return JSON.parse(text.slice(start, at + 1)) as Record<string, unknown>;
    } catch {
      return undefined;
    }
  }
  return undefined;
}

const numberOf = (value: unknown): number | undefined =>
  typeof value === "number" && value >= 0 && Number.isSafeInteger(value) ? value : undefined;
