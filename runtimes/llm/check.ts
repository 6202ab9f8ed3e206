import { type ChatRequest, invalid, type Message, type Sampling } from "../../src/contracts/index.ts";
import { fromSampling, type SamplingSettings, samplingSchema, toSampling } from "./sampling.ts";

const ROLES: ReadonlySet<string> = new Set(["system", "user", "assistant", "tool"]);
const MOST_CHOICES = 16;

/** What the settings say about every request of a model. */
export interface Limits {
  readonly sampling: SamplingSettings;
  readonly maxOutput: number | undefined;
}

/**
 * A request with the model's defaults in it.
 * @throws CapstanError INVALID_ARGUMENT with the field at fault as `param`, in the names of OpenAI's API.
 */
export function checkRequest(request: ChatRequest, limits: Limits): ChatRequest {
  checkInput(request);
  const { n } = request;
  if (n !== undefined && !(Number.isInteger(n) && n >= 1 && n <= MOST_CHOICES)) {
    throw invalid(`'n' is ${shown(n)}; it must be an integer from 1 to ${MOST_CHOICES}`, { param: "n" });
  }
  return { ...request, sampling: checkSampling(request.sampling, limits) };
}

function checkInput({ messages, prompt }: ChatRequest): void {
  if ((messages === undefined) === (prompt === undefined)) {
    const given = prompt === undefined ? "neither" : "both";
    throw invalid(`The request has ${given} of 'messages' and 'prompt'; give one`, { param: "messages" });
  }
  if (messages === undefined) {
    if (typeof prompt !== "string")
      throw invalid(`'prompt' is ${shown(prompt)}; it must be a text`, { param: "prompt" });
    return;
  }
  if (!Array.isArray(messages) || messages.length === 0) {
    throw invalid("'messages' must be a list with at least one message", { param: "messages" });
  }
  for (const [index, message] of messages.entries()) checkMessage(message, `messages[${index}]`);
}

function checkMessage(message: Message, where: string): void {
  if (typeof message !== "object" || message === null)
    throw invalid(`${where} is ${shown(message)}; it must be a message`, { param: where });
  if (!ROLES.has(message.role)) {
    const roles = [...ROLES].join(", ");
    throw invalid(`${where}.role is ${shown(message.role)}; it must be one of ${roles}`, {
      param: `${where}.role`,
    });
  }
  if (!isContent(message.content)) {
    const text = `${where}.content must be a text, or a list of parts that each have a 'type'`;
    throw invalid(text, { param: `${where}.content` });
  }
}

function isContent(content: unknown): boolean {
  if (typeof content === "string") return true;
  return Array.isArray(content) && content.every(isPart);
}

function isPart(part: unknown): boolean {
  if (typeof part !== "object" || part === null) return false;
  const { type, text } = part as { type?: unknown; text?: unknown };
  return typeof type === "string" && (type !== "text" || typeof text === "string");
}

function checkSampling(given: Sampling, { sampling, maxOutput }: Limits): Sampling {
  const settings = { max_tokens: maxOutput, ...sampling, ...fromSampling(given) };
  const result = samplingSchema.safeParse(settings);
  if (!result.success) {
    const [{ path, message }] = result.error.issues as [(typeof result.error.issues)[number]];
    const key = String(path[0]) as keyof SamplingSettings;
    throw invalid(`'${key}' is ${shown(settings[key])}; it ${message}`, { param: key });
  }
  const { max_tokens = 0 } = result.data;
  if (maxOutput !== undefined && max_tokens > maxOutput) {
    const text = `'max_tokens' is ${max_tokens}, and this model gives at most ${maxOutput}; ask for fewer`;
    throw invalid(text, { param: "max_tokens" });
  }
  return toSampling(result.data);
}

/** A value for a message, short enough to be read. */
export function shown(value: unknown): string {
  const text = typeof value === "bigint" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
