import { z } from "zod";
import { type ChatRequest, invalid, type Parameters } from "../contracts/index.ts";
import type { Exchange } from "./exchange.ts";
import { checkFields, type JsonObject } from "./json-body.ts";
import { sessionOf } from "./language-model.ts";
import {
  decimal,
  extraOf,
  optional,
  samplingFields,
  samplingOf,
  text,
  textFields,
  truth,
  whole,
} from "./sampling.ts";

const parameterFields = {
  ...samplingFields,
  max_tokens: optional(whole()),
  session_id: optional(text()),
  /** Microseconds. */
  timeout: optional(decimal()),
  priority: optional(decimal()),
  details: optional(truth()),
  include_steps: optional(truth()),
  stream: optional(truth()),
  ...textFields,
};
const parametersSchema = z.looseObject(parameterFields);

export const bodySchema = z.looseObject({
  id: optional(text()),
  text_input: text(),
  parameters: optional(z.record(z.string(), z.unknown(), "must be an object")),
});

const OWN = [...Object.keys(parameterFields), "resume", "ticket"];

/** A request for one text, as the routes of V2's generate extension take it. */
export interface GenerateRequest {
  readonly id: string | undefined;
  /** Whether the answer is to say why and after how many tokens it ended. */
  readonly details: boolean;
  /** Whether a stream is to say what an application does on its way to the answer. */
  readonly steps: boolean;
  /** What the caller said about streaming in the body. */
  readonly stream: boolean | undefined;
  readonly request: ChatRequest;
  /** Those that are about the call: `timeout`, `priority`. */
  readonly parameters: Parameters;
}

/**
 * The text is what a user says, as in `infer`. Parameters may stand under `parameters`, or beside the text as
 * Triton takes them. The fields of `/v1/generate` are taken by their names there, too: `prompt`, `max_new_tokens`.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function readGenerate(x: Exchange, body: JsonObject): GenerateRequest {
  const { id, text_input, parameters, ...beside } = checkFields(bodySchema, withOwnNames(body));
  const fields = checkFields(parametersSchema, { ...beside, ...parameters });
  const { details = false, include_steps: steps = false, stream, timeout, priority } = fields;
  const request: ChatRequest = {
    messages: [{ role: "user", content: text_input }],
    sampling: samplingOf(fields, fields.max_tokens),
    responseFormat: fields.response_format,
    session: sessionOf(x, { parameter: fields.session_id }),
    extra: extraOf(fields, OWN),
  };
  const given = Object.entries({ timeout, priority }).filter((entry) => entry[1] !== undefined);
  return { id, details, steps, stream, request, parameters: Object.fromEntries(given) as Parameters };
}

function withOwnNames({ prompt, max_new_tokens, ...body }: JsonObject): JsonObject {
  return {
    ...(prompt === undefined ? {} : { text_input: prompt }),
    ...(max_new_tokens === undefined ? {} : { max_tokens: max_new_tokens }),
    ...body,
  };
}

const NUMBERS = ["max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "timeout", "priority"];
const QUERY = new Set([...NUMBERS, "session_id", "prompt", "text_input"]);

/**
 * A request out of a query string, whose text is `prompt`.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function readQuery(x: Exchange, query: URLSearchParams): GenerateRequest {
  const fields: Record<string, unknown> = {};
  for (const [key, value] of query)
    if (QUERY.has(key)) fields[key] = NUMBERS.includes(key) ? Number(value) : value;
  const stop = query.getAll("stop");
  const { prompt, text_input = prompt, ...parameters } = fields;
  if (text_input === undefined) throw invalid("The query has no 'prompt'", { param: "prompt" });
  return readGenerate(x, { text_input, parameters: stop.length > 0 ? { ...parameters, stop } : parameters });
}
