import { z } from "zod";
import type { Sampling } from "../contracts/index.ts";

/** A field that may be left out, or null as some clients write it. */
export function optional<T extends z.ZodType>(field: T) {
  return field.nullish().transform((value) => value ?? undefined);
}

export const text = () => z.string("must be a string");
export const whole = () => z.int("must be an integer");
/** Of tokens: checked here because a runtime knows it by one name only, and each API has its own. */
export const count = () => whole().min(1, "must be an integer from 1 up");
export const decimal = () => z.number("must be a number");
export const truth = () => z.boolean("must be true or false");

/** `n` where a route has room for one answer only. */
export const oneAnswer = () => optional(z.literal(1, "must be 1: this route gives one answer"));

/** Where an answer is a text and nothing else. */
export const textFields = {
  n: oneAnswer(),
  response_format: optional(z.looseObject({ type: text() }, "must be an object with a type")),
  tools: optional(
    z
      .array(z.unknown())
      .max(0, "must be left out: this route answers with text; /v1/chat/completions has tools"),
  ),
};

/** Types only: what values make sense is checked by the model's runtime, alike for every transport. */
export const samplingFields = {
  temperature: optional(decimal()),
  top_p: optional(decimal()),
  top_k: optional(whole()),
  min_p: optional(decimal()),
  seed: optional(whole()),
  stop: optional(z.union([z.string(), z.array(z.string())], "must be a string or a list of strings")),
  frequency_penalty: optional(decimal()),
  presence_penalty: optional(decimal()),
  /** As vLLM and Hugging Face call it, and as llama.cpp does. */
  repetition_penalty: optional(decimal()),
  repeat_penalty: optional(decimal()),
};

const schema = z.object(samplingFields);
const FIELDS = new Set(Object.keys(samplingFields));

/** @param maxTokens by whichever name the body's own API has for it. */
export function samplingOf(fields: z.infer<typeof schema>, maxTokens: number | undefined): Sampling {
  const { stop, repeat_penalty, repetition_penalty } = fields;
  return {
    maxTokens,
    temperature: fields.temperature,
    topP: fields.top_p,
    topK: fields.top_k,
    minP: fields.min_p,
    seed: fields.seed,
    stop: typeof stop === "string" ? [stop] : stop,
    frequencyPenalty: fields.frequency_penalty,
    presencePenalty: fields.presence_penalty,
    repeatPenalty: repetition_penalty ?? repeat_penalty,
  };
}

/** The fields of a body that have no name here: `own` and those of sampling do. */
export function extraOf(body: object, own: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(body).filter(([key, value]) => value != null && !FIELDS.has(key) && !own.includes(key)),
  );
}
