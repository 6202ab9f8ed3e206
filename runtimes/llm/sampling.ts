import { z } from "zod";
import type { Sampling } from "../../src/contracts/index.ts";

const number = (min: number, max: number) => {
  const text = `must be a number from ${min} to ${max}`;
  return z.number(text).min(min, text).max(max, text);
};
const above0 = (max: number) => {
  const text = `must be a number above 0${max === Number.POSITIVE_INFINITY ? "" : `, at most ${max}`}`;
  return z.number(text).gt(0, text).max(max, text);
};
const integer = (min: number) => {
  const text = min === Number.MIN_SAFE_INTEGER ? "must be an integer" : `must be an integer from ${min} up`;
  return z.int(text).min(min, text);
};

const STOP_TEXT = "must be at most 16 texts of 1 to 1024 characters";

/**
 * Sampling settings under the names that requests, V2 parameters and `parameters.extra.sampling` have in
 * common. The ranges are OpenAI's where it has the setting, llama.cpp's and vLLM's elsewhere.
 */
export const samplingSchema = z.strictObject({
  max_tokens: integer(1).optional(),
  temperature: number(0, 2).optional(),
  top_p: above0(1).optional(),
  /** 0 and -1 take all tokens into account. */
  top_k: integer(-1).optional(),
  min_p: number(0, 1).optional(),
  seed: integer(Number.MIN_SAFE_INTEGER).optional(),
  stop: z
    .array(z.string(STOP_TEXT).min(1, STOP_TEXT).max(1024, STOP_TEXT), STOP_TEXT)
    .max(16, STOP_TEXT)
    .optional(),
  frequency_penalty: number(-2, 2).optional(),
  presence_penalty: number(-2, 2).optional(),
  repeat_penalty: above0(Number.POSITIVE_INFINITY).optional(),
});

export type SamplingSettings = z.output<typeof samplingSchema>;
export type SamplingKey = keyof SamplingSettings;

const FIELDS = {
  maxTokens: "max_tokens",
  temperature: "temperature",
  topP: "top_p",
  topK: "top_k",
  minP: "min_p",
  seed: "seed",
  stop: "stop",
  frequencyPenalty: "frequency_penalty",
  presencePenalty: "presence_penalty",
  repeatPenalty: "repeat_penalty",
} as const satisfies Record<keyof Sampling, SamplingKey>;

const PAIRS = Object.entries(FIELDS) as [keyof Sampling, SamplingKey][];

/** The keys of sampling settings, as requests spell them. */
export const SAMPLING_KEYS: readonly SamplingKey[] = Object.values(FIELDS);

/** Settings as the contract names them, those not given left out. The values are not checked. */
export function toSampling(settings: Readonly<Partial<Record<SamplingKey, unknown>>>): Sampling {
  const given = PAIRS.filter(([, key]) => settings[key] !== undefined);
  return Object.fromEntries(given.map(([field, key]) => [field, settings[key]]));
}

/** The inverse of {@link toSampling}. */
export function fromSampling(sampling: Sampling): Readonly<Partial<Record<SamplingKey, unknown>>> {
  const given = PAIRS.filter(([field]) => sampling[field] !== undefined);
  return Object.fromEntries(given.map(([field, key]) => [key, sampling[field]]));
}
