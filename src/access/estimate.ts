import {
  type ChatRequest,
  type ContentPart,
  type InferRequest,
  invalid,
  type Message,
} from "../contracts/index.ts";
import type { Role } from "./role.ts";

/** Of a request that does not say how much it wants written. */
const DEFAULT_OUTPUT = 256;
const BYTES_PER_TOKEN = 4;
/** An image, or another part that is not text; its bytes say nothing about its tokens. */
const TOKENS_PER_PART = 1000;
/** More than any model's context; sums of it fit into the numbers of every store. */
const MOST = 1_000_000_000;

/** Tokens that a request may use, before a model has counted them. */
export interface Estimate {
  readonly prompt: number;
  /** What may be written. */
  readonly output: number;
}

export const NO_TOKENS: Estimate = { prompt: 0, output: 0 };

/** Four bytes for each token: OpenAI's rule of thumb for English. */
export const tokensIn = (text: string): number => Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);

/**
 * A request with the limit of its role where it has none.
 * @throws CapstanError INVALID_ARGUMENT when it asks for more than the role allows.
 */
export function chatWithinRole(request: ChatRequest, { maxTokens: most }: Role): ChatRequest {
  if (most === null) return request;
  const { maxTokens = most } = request.sampling;
  checkMaxTokens(maxTokens, most);
  return { ...request, sampling: { ...request.sampling, maxTokens } };
}

export function chatEstimate(
  { messages = [], prompt = "", tools, sampling, n = 1 }: ChatRequest,
  role: Role,
): Estimate {
  const text = messages.reduce((sum, message) => sum + messageTokens(message), tokensIn(prompt));
  const input = text + (tools === undefined ? 0 : tokensIn(JSON.stringify(tools)));
  return estimate(input, n, sampling.maxTokens, role);
}

/** As {@link chatWithinRole}, for tensors. What is not a number of tokens is the runtime's to refuse. */
export function tensorsWithinRole(request: InferRequest, { maxTokens: most }: Role): InferRequest {
  if (most === null) return request;
  const given = request.parameters.max_tokens;
  if (given === undefined) return { ...request, parameters: { ...request.parameters, max_tokens: most } };
  checkMaxTokens(countOf(given) ?? 0, most);
  return request;
}

/** Every text is a prompt of its own. */
export function tensorEstimate({ inputs, parameters }: InferRequest, role: Role): Estimate {
  const texts = inputs.flatMap(({ data }) => (Array.isArray(data) ? data : []));
  const input = texts.reduce((sum, { length }) => sum + Math.ceil(length / BYTES_PER_TOKEN), 0);
  return estimate(input, Math.max(1, texts.length), countOf(parameters.max_tokens), role);
}

/** Of a route that the model's upstream answers; where nothing limits what may be written, that is not text. */
export function passthroughEstimate(route: string, body: unknown, role: Role): Estimate {
  const fields = fieldsOf(body);
  const { input, prompt, n } = fields;
  const given = [input, prompt].filter((text) => text !== undefined);
  const tokens = given.reduce((sum: number, text) => sum + givenTokens(text), 0);
  const limit = OUTPUT_LIMITS[route];
  if (limit === undefined) return { prompt: tokens, output: 0 };
  return estimate(tokens, promptsIn(prompt) * (countOf(n) ?? 1), countOf(fields[limit]), role);
}

/** As {@link chatWithinRole}, for a body that goes to an upstream as it is. */
export function passthroughWithinRole(route: string, body: unknown, { maxTokens: most }: Role): unknown {
  const limit = OUTPUT_LIMITS[route];
  if (most === null || limit === undefined) return body;
  const given = fieldsOf(body)[limit];
  if (given === undefined || given === null) return { ...(body as object), [limit]: most };
  checkMaxTokens(countOf(given) ?? 0, most, limit);
  return body;
}

/** The fields by which routes are told how much text may be written. */
const OUTPUT_LIMITS: Readonly<Record<string, string>> = {
  responses: "max_output_tokens",
  completions: "max_tokens",
};

/** A list of token ids is one prompt. */
const promptsIn = (prompt: unknown): number =>
  Array.isArray(prompt) && typeof prompt[0] !== "number" ? prompt.length : 1;

function fieldsOf(body: unknown): Record<string, unknown> {
  if (body instanceof FormData) return { prompt: body.get("prompt") ?? undefined };
  return typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
}

const givenTokens = (given: unknown): number =>
  tokensIn(typeof given === "string" ? given : (JSON.stringify(given) ?? ""));

function checkMaxTokens(asked: number, most: number, param = "max_tokens"): void {
  if (asked <= most) return;
  throw invalid(`'${param}' is ${asked}, and your role allows ${most}`, { param });
}

/** A request that does not say what it wants is taken to want no more than its role has. */
function estimate(
  prompt: number,
  times: number,
  asked: number | undefined,
  { tokensPerMinute, tokensPerMonth }: Role,
): Estimate {
  const most = Math.min(tokensPerMinute ?? MOST, tokensPerMonth ?? MOST);
  const output = asked === undefined ? Math.min(times * DEFAULT_OUTPUT, most - prompt) : times * asked;
  return { prompt: Math.min(prompt, MOST), output: Math.min(Math.max(output, 0), MOST) };
}

function countOf(value: unknown): number | undefined {
  const count = typeof value === "number" || typeof value === "bigint" ? Number(value) : Number.NaN;
  return count > 0 ? Math.min(Math.ceil(count), MOST) : undefined;
}

function messageTokens({ content, toolCalls = [] }: Message): number {
  const text =
    typeof content === "string"
      ? tokensIn(content)
      : content.reduce((sum, part) => sum + partTokens(part), 0);
  return toolCalls.reduce((sum, { name, arguments: given }) => sum + tokensIn(name) + tokensIn(given), text);
}

const partTokens = (part: ContentPart): number =>
  typeof part.text === "string" ? tokensIn(part.text) : TOKENS_PER_PART;
