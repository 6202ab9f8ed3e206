import {
  askedFor,
  CapstanError,
  type ChatRequest,
  type InferRequest,
  invalid,
  type Parameters,
  type Tensor,
} from "../../src/contracts/index.ts";
import { shown } from "./check.ts";
import { readMessages } from "./openai-messages.ts";
import { SAMPLING_KEYS, type SamplingKey, toSampling } from "./sampling.ts";

const TEXT_NAMES = ["text_input", "prompt", "args"];

/** Inputs under their own names: `prompt` and `args` are other names of `text_input`, `[n,1]` is `[n]`. */
export function normalize(request: InferRequest): InferRequest {
  return { ...request, inputs: request.inputs.map(normalizeInput) };
}

function normalizeInput(input: Tensor): Tensor {
  const name = TEXT_NAMES.includes(input.name) ? "text_input" : input.name;
  const [rows = 0, columns] = input.shape;
  const isColumn = input.shape.length === 2 && columns === 1;
  return { ...input, name, shape: isColumn ? [rows] : input.shape };
}

/**
 * The conversations of a V2 request, one for each element of its input.
 * @throws CapstanError INVALID_ARGUMENT naming the input and element.
 */
export function readRequest(request: InferRequest): ChatRequest[] {
  const { name, elements } = onlyInput(normalize(request).inputs);
  const { parameters } = request;
  const sampling = toSampling(samplingOf(parameters));
  const session = sessionOf(parameters);
  const responseFormat = formatOf(parameters);
  refuseOthers(parameters);
  return elements.map((bytes, index) => {
    const where = `Input '${name}': element ${index}`;
    const text = decode(bytes, where);
    const messages =
      name === "messages" ? readMessages(text, where) : [{ role: "user" as const, content: text }];
    return {
      ...{ messages, sampling },
      ...(responseFormat === undefined ? {} : { responseFormat }),
      ...(session === undefined ? {} : { session }),
    };
  });
}

function onlyInput(inputs: readonly Tensor[]): { name: string; elements: readonly Uint8Array[] } {
  const [input, other] = inputs;
  if (input === undefined || other !== undefined) {
    const given = inputs.length === 0 ? "no input" : inputs.map(({ name }) => name).join(" and ");
    throw invalid(`The request has ${given}; give one of text_input (or prompt, or args) and messages`);
  }
  const { name, datatype, data } = input;
  if (name !== "text_input" && name !== "messages")
    throw invalid(`Input '${name}' is not one of the model's: text_input, messages`);
  if (datatype !== "BYTES")
    throw invalid(`Input '${name}': datatype ${datatype} is given, and the model takes BYTES`);
  return { name, elements: data as Uint8Array[] };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array, where: string): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw invalid(`${where} is not UTF-8 text`, { cause });
  }
}

/**
 * Parameters that are not sampling settings are another's, or nobody's. Values are checked with the rest.
 * `repetition_penalty` is the name that vLLM and Hugging Face have for `repeat_penalty`.
 */
function samplingOf(parameters: Parameters): Partial<Record<SamplingKey, unknown>> {
  const { repetition_penalty: repeat_penalty, ...named } = parameters;
  const given: Parameters = repeat_penalty === undefined ? named : { ...named, repeat_penalty };
  const settings: Partial<Record<SamplingKey, unknown>> = {};
  for (const key of SAMPLING_KEYS) settings[key] = key === "stop" ? readStop(given.stop) : given[key];
  return settings;
}

/** V2 parameters are scalars, so several stop sequences come as a JSON array in a text. */
function readStop(value: unknown): unknown {
  if (typeof value !== "string") return value;
  if (!value.startsWith("[")) return [value];
  try {
    const parsed: unknown = JSON.parse(value);
    return Array.isArray(parsed) ? parsed : [value];
  } catch {
    return [value];
  }
}

/** Its JSON as a text. */
function formatOf({ response_format: text }: Parameters): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(String(text));
  } catch {
    const why = "it must be the JSON of an object with a type, as a text";
    throw invalid(`Parameter 'response_format' is ${shown(text)}; ${why}`, { param: "response_format" });
  }
}

/** What would change the answer, and has no way to the model or no place in the outputs. */
function refuseOthers({ n, tools, response_format: _, max_tokens: _limit, ...extra }: Parameters): void {
  const request: ChatRequest = { sampling: {}, extra, ...(typeof n === "number" ? { n } : {}) };
  const [param] = tools === undefined ? askedFor(request) : ["tools"];
  if (param === undefined) return;
  const text = `Parameter '${param}' has no effect over V2, so it is refused: leave it out, or ask over the OpenAI API`;
  throw new CapstanError("UNSUPPORTED", text, { param });
}

function sessionOf({ session_id }: Parameters): string | undefined {
  if (session_id === undefined || typeof session_id === "string") return session_id;
  throw invalid(`Parameter 'session_id' is ${shown(session_id)}; it must be a text`, { param: "session_id" });
}
