import type { Usage } from "../../contracts/index.ts";
import { sseData } from "../sse.ts";

/** What every body of one answer begins with. */
export interface Envelope {
  readonly id: string;
  readonly object: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly model: string;
}

export function envelope(id: string, object: string, model: string): Envelope {
  return { id, object, created: Math.floor(Date.now() / 1000), model };
}

export function usageBody({ inputTokens, outputTokens, cachedTokens }: Usage) {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    ...(cachedTokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: cachedTokens } }),
  };
}

/** The end of a stream: the usage when it was asked for, with an empty list of choices, and the mark. */
export function* closingEvents(base: Envelope, usage: Usage | undefined): Generator<string> {
  if (usage !== undefined) yield sseData({ ...base, choices: [], usage: usageBody(usage) });
  yield DONE;
}

export const DONE = "data: [DONE]\n\n";
