import type { ChatRequest, ContentPart, Usage } from "../../src/contracts/index.ts";
import { countOf, type JsonRecord, recordOf } from "./json.ts";

/** Of all choices together, as an upstream counts. */
export interface UpstreamUsage {
  readonly input?: number;
  readonly output?: number;
  /** Of the input: how many it knew from another request. */
  readonly cached?: number;
}

/** The usage in a reply or chunk; the last one of a stream counts. */
export function usageIn(reply: JsonRecord): UpstreamUsage {
  const usage = recordOf(reply.usage);
  const input = countOf(usage.prompt_tokens);
  const output = countOf(usage.completion_tokens);
  const cached = countOf(recordOf(usage.prompt_tokens_details).cached_tokens);
  return {
    ...(input === undefined ? {} : { input }),
    ...(output === undefined ? {} : { output }),
    ...(cached === undefined ? {} : { cached }),
  };
}

/**
 * The usage of each choice. An upstream counts the output of all choices together: each gets a share that is
 * in proportion to its estimate. What the upstream did not count is estimated.
 */
export function usageOf(
  { input, output, cached }: UpstreamUsage,
  estimates: readonly number[],
  estimateInput: () => number,
): Usage[] {
  const inputTokens = input ?? estimateInput();
  const outputs = output === undefined ? estimates : shares(output, estimates);
  const known = cached === undefined ? {} : { cachedTokens: cached };
  return outputs.map((outputTokens) => ({ inputTokens, ...known, outputTokens }));
}

/** Whole numbers in proportion to the weights, whose sum is the total. */
export function shares(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  let weighed = 0;
  let given = 0;
  return weights.map((weight, index) => {
    weighed += sum === 0 ? 1 : weight;
    const until = Math.round((total * weighed) / (sum === 0 ? weights.length : sum));
    const share = index === weights.length - 1 ? total - given : until - given;
    given += share;
    return share;
  });
}

/** Characters in a token of English text, by OpenAI's own rule of thumb. */
const CHARACTERS = 4;

export function estimatedTokens(characters: number): number {
  return Math.ceil(characters / CHARACTERS);
}

/** Tokens of the input, roughly, for an upstream that does not count them. */
export function estimatedInput({ messages, prompt }: ChatRequest): number {
  const texts = messages?.map(({ content }) =>
    typeof content === "string" ? content : textsIn(content),
  ) ?? [prompt];
  const length = texts.reduce((sum, text) => sum + (text?.length ?? 0), 0);
  return estimatedTokens(length);
}

function textsIn(content: readonly ContentPart[]): string {
  return content.map(({ text }) => (typeof text === "string" ? text : "")).join("");
}
