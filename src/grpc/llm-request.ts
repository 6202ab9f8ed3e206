import {
  type ChatRequest,
  invalid,
  type Message,
  type Parameters,
  type Sampling,
} from "../contracts/index.ts";
import type { capstan } from "./generated/llm.js";

type Sent = capstan.llm.v1.ChatRequest;

/** What a prompt is to a method: what the user says, or text to be continued as it is. */
export type PromptUse = "message" | "text";

const ROLES: readonly string[] = ["system", "user", "assistant", "tool"] satisfies Message["role"][];

/**
 * A request as the data plane takes it. Whether the values suit the model is the model's to say.
 * @param session of the call, for a request that names none.
 * @throws CapstanError INVALID_ARGUMENT naming the field.
 */
export function readChatRequest(sent: Sent, use: PromptUse, session: string | undefined): ChatRequest {
  return {
    ...inputOf(sent, use),
    sampling: samplingOf(sent),
    session: sent.sessionId || session || undefined,
  };
}

/** proto3 does not tell an empty prompt from none. */
function inputOf({ messages, prompt }: Sent, use: PromptUse): Pick<ChatRequest, "messages" | "prompt"> {
  if (messages.length > 0 && prompt !== "")
    throw invalid("Give either 'messages' or 'prompt', not both", { param: "prompt" });
  if (messages.length > 0) return { messages: messages.map(messageOf) };
  if (prompt === "") throw invalid("The request has no 'messages' and no 'prompt'", { param: "messages" });
  return use === "text" ? { prompt } : { messages: [{ role: "user", content: prompt }] };
}

function messageOf({ role, content }: capstan.llm.v1.Message, index: number): Message {
  if (isRole(role)) return { role, content };
  const given = JSON.stringify(role.slice(0, 40));
  throw invalid(`messages[${index}].role is ${given}; it must be one of ${ROLES.join(", ")}`, {
    param: `messages[${index}].role`,
  });
}

function isRole(role: string): role is Message["role"] {
  return ROLES.includes(role);
}

function samplingOf({ maxTokens, temperature, topP, topK, stop, seed }: Sent): Sampling {
  const all = { maxTokens, temperature, topP, topK, seed: seed === null ? null : seedOf(seed) };
  const given = Object.entries(all).filter(([, value]) => value !== null);
  return { ...Object.fromEntries(given), ...(stop.length > 0 && { stop }) };
}

function seedOf(seed: bigint): number {
  const number = Number(seed);
  if (Number.isSafeInteger(number)) return number;
  throw invalid(`'seed' is ${seed}; it must lie between -(2^53 - 1) and 2^53 - 1`, { param: "seed" });
}

/**
 * The time limit of a request as the parameter that opens a call, in microseconds.
 * @throws CapstanError INVALID_ARGUMENT when it is negative.
 */
export function timeLimitOf({ timeoutMs }: Sent): Parameters {
  if (timeoutMs < 0)
    throw invalid(`'timeout_ms' is ${timeoutMs}; give milliseconds above 0, or 0 for no limit`, {
      param: "timeout_ms",
    });
  return { timeout: timeoutMs * 1000 };
}
