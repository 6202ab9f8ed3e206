import {
  type CapstanError,
  type CompletionChoice,
  ERROR_TABLE,
  type Message,
  type ToolCall,
  type Usage,
} from "../../../contracts/index.ts";
import type { ResponseBody } from "./request.ts";

export type Status = "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";

/** A response as OpenAI writes it; `output` and what follows from it change while it is made. */
export interface ResponseObject {
  readonly id: string;
  readonly object: "response";
  readonly [field: string]: unknown;
}

export interface Outcome {
  readonly status: Status;
  readonly output: readonly object[];
  readonly usage?: Usage;
  readonly error?: CapstanError;
  readonly incomplete?: string;
}

/** @param created seconds since the epoch. */
export function responseObject(
  id: string,
  created: number,
  model: string,
  body: ResponseBody,
  { status, output, usage, error, incomplete }: Outcome,
): ResponseObject {
  return {
    id,
    object: "response",
    created_at: created,
    status,
    background: body.background ?? false,
    error: error === undefined ? null : { code: ERROR_TABLE[error.code].openai, message: error.message },
    incomplete_details: incomplete === undefined ? null : { reason: incomplete },
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    model,
    output,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    store: body.store ?? true,
    temperature: body.temperature ?? null,
    text: { format: body.text?.format ?? { type: "text" } },
    tool_choice: body.tool_choice ?? "auto",
    tools: body.tools ?? [],
    top_p: body.top_p ?? null,
    truncation: body.truncation ?? "disabled",
    usage: usage === undefined ? null : usageBody(usage),
    metadata: body.metadata ?? {},
  };
}

function usageBody({ inputTokens, outputTokens, cachedTokens = 0 }: Usage) {
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: inputTokens + outputTokens,
  };
}

/** The items of a whole answer, in the order a stream would have them. */
export function itemsOf(id: string, { text, reasoning, toolCalls, logprobs }: CompletionChoice): object[] {
  return [
    ...(reasoning === undefined ? [] : [reasoningItem(id, reasoning)]),
    ...(text === "" && toolCalls.length > 0
      ? []
      : [messageItem(id, text, "completed", logprobsIn(logprobs))]),
    ...toolCalls.map((call) => callItem(call)),
  ];
}

export const messageId = (id: string) => `msg_${id}`;

/** Of tokens, from the log probabilities of a chat. */
export function logprobsIn(logprobs: unknown): readonly unknown[] {
  const { content } = (logprobs ?? {}) as { readonly content?: unknown };
  return Array.isArray(content) ? content : [];
}

export const textPart = (text: string, logprobs: readonly unknown[] = []) => ({
  type: "output_text",
  text,
  annotations: [],
  logprobs,
});

export function messageItem(
  id: string,
  text: string,
  status = "completed",
  logprobs: readonly unknown[] = [],
) {
  const content = status === "completed" ? [textPart(text, logprobs)] : [];
  return { id: messageId(id), type: "message", status, role: "assistant", content };
}

export function reasoningItem(id: string, text: string) {
  return { id: `rs_${id}`, type: "reasoning", summary: [], content: [{ type: "reasoning_text", text }] };
}

export function callItem({ id, name, arguments: text }: ToolCall, status = "completed") {
  const written = status === "completed" ? text : "";
  return { id: `fc_${id}`, type: "function_call", call_id: id, name, arguments: written, status };
}

/** `length` and `content_filter` leave an answer incomplete. */
export function outcomeOf(id: string, choice: CompletionChoice, usage: Usage): Outcome {
  const output = itemsOf(id, choice);
  if (choice.reason === "length")
    return { status: "incomplete", output, usage, incomplete: "max_output_tokens" };
  if (choice.reason === "content_filter")
    return { status: "incomplete", output, usage, incomplete: "content_filter" };
  return { status: "completed", output, usage };
}

/** The answer as a message of the conversation, for a response that goes on from this one. */
export function answerMessage({ text, toolCalls }: CompletionChoice): Message {
  return { role: "assistant", content: text, ...(toolCalls.length === 0 ? {} : { toolCalls }) };
}
