import { randomInt } from "node:crypto";
import type { SequenceEvaluateOptions, Token } from "node-llama-cpp";
import type { Sampling } from "../../src/contracts/index.ts";

/** How many of the last written tokens a penalty looks at: llama.cpp's own default. */
const PENALTY_WINDOW = 64;
const SEEDS = 2 ** 32;

/**
 * What a GGUF file does not say is the library's default: temperature 0 (greedy), top-k 40, top-p 0.95. Choices
 * of one request have different seeds, and the same ones again when the request is repeated.
 */
export function evaluateOptions(
  sampling: Sampling,
  choice: number,
  written: readonly Token[],
): SequenceEvaluateOptions {
  const { temperature, topP, minP } = sampling;
  const topK = sampling.topK === -1 ? 0 : sampling.topK;
  const seed = sampling.seed === undefined ? randomInt(SEEDS) : (sampling.seed + choice) >>> 0;
  const repeatPenalty = penalties(sampling, written);
  return { temperature, topP, topK, minP, seed, repeatPenalty, yieldEogToken: true };
}

function penalties(
  { repeatPenalty, frequencyPenalty, presencePenalty }: Sampling,
  written: readonly Token[],
): SequenceEvaluateOptions["repeatPenalty"] {
  const given = [repeatPenalty, frequencyPenalty, presencePenalty].some((value) => value !== undefined);
  if (!given) return undefined;
  const punishTokens = (): Token[] => written.slice(-PENALTY_WINDOW);
  return { punishTokens, penalty: repeatPenalty ?? 1, frequencyPenalty, presencePenalty };
}
