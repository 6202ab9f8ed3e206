import type { ChatRequest } from "./cap-llm.ts";
import { CapstanError } from "./errors.ts";

type Asks = (value: unknown, request: ChatRequest) => boolean;

const given: Asks = (value) => value !== "" && !(typeof value === "object" && isEmpty(value as object));
const isTrue: Asks = (value) => value === true;
const isFalse: Asks = (value) => value === false;
const above0: Asks = (value) => typeof value === "number" && value > 0;
const not1: Asks = (value) => value !== 1;
const withTools: Asks = (value, { tools = [] }) => value === false && tools.length > 0;

/**
 * The fields of {@link ChatRequest.extra} that change an answer, under the names of OpenAI, vLLM and llama.cpp, and
 * whether a value of theirs asks for anything: what says "off", or says what happens anyway, asks for nothing. Fields
 * that are about the request and not about the answer (`user`, `store`, `metadata`, `service_tier`, ...) are not here.
 */
const FIELDS: Readonly<Record<string, Asks>> = {
  logprobs: (value, { prompt }) =>
    prompt === undefined ? value !== false : typeof value === "number" || value === true,
  top_logprobs: above0,
  prompt_logprobs: (value) => typeof value === "number",
  n_probs: above0,
  logit_bias: given,
  best_of: (value, { n = 1 }) => typeof value === "number" && value > n,
  suffix: given,
  functions: given,
  parallel_tool_calls: withTools,
  modalities: (value) => !(Array.isArray(value) && value.every((each) => each === "text")),
  reasoning_effort: (value) => value !== "none",
  verbosity: (value) => value !== "medium",
  web_search_options: () => true,
  ...all(["max_tokens", "max_completion_tokens", "max_new_tokens", "max_length", "n_predict"], () => true),
  ...all(["guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"], given),
  ...all(["grammar", "json_schema", "chat_template", "chat_template_kwargs"], given),
  ...all(["stop_token_ids", "bad_words", "allowed_token_ids"], given),
  ...all(["ignore_eos", "include_stop_str_in_output", "use_beam_search", "continue_final_message"], isTrue),
  ...all(["skip_special_tokens", "add_generation_prompt"], isFalse),
  ...all(["min_tokens", "mirostat", "xtc_probability", "dry_multiplier", "dynatemp_range"], above0),
  ...all(["length_penalty", "typical_p", "tfs_z"], not1),
};

/**
 * Refuses what an adapter would otherwise leave out without a word: several choices, tools, a response format, and the
 * fields of `extra` that change an answer.
 * @param takes names of those that the adapter can do, or refuses in its own words.
 * @throws CapstanError UNSUPPORTED that names the field and the adapter; the field is its `param`.
 */
export function refuseUnsupported(
  request: ChatRequest,
  adapter: string,
  takes: readonly string[] = [],
): void {
  const param = askedFor(request).find((name) => !takes.includes(name));
  if (param === undefined) return;
  const text = `'${param}' has no effect with the adapter '${adapter}', so it is refused: leave it out`;
  throw new CapstanError("UNSUPPORTED", text, { param });
}

/** What a request asks for beyond one text and the settings of sampling, as OpenAI's API and others name it. */
export function askedFor(request: ChatRequest): readonly string[] {
  const { n = 1, tools = [], toolChoice, responseFormat, extra = {} } = request;
  return [
    ...(n > 1 ? ["n"] : []),
    ...(tools.length > 0 && toolChoice !== "none" ? ["tools"] : []),
    ...(responseFormat === undefined || isText(responseFormat) ? [] : ["response_format"]),
    ...Object.keys(extra).filter((name) => asksFor(name, extra[name], request)),
  ];
}

function asksFor(name: string, value: unknown, request: ChatRequest): boolean {
  if (value === undefined || value === null || !Object.hasOwn(FIELDS, name)) return false;
  return FIELDS[name]!(value, request);
}

function all(names: readonly string[], asks: Asks): Record<string, Asks> {
  return Object.fromEntries(names.map((name) => [name, asks]));
}

const isText = (format: unknown) => (format as { type?: unknown } | null)?.type === "text";

const isEmpty = (value: object | null) => value === null || Object.keys(value).length === 0;
