import {
  type Completion,
  type CompletionChoice,
  type Part,
  totalUsage,
  type Usage,
} from "../../contracts/index.ts";
import { sseData } from "../sse.ts";
import { closingEvents, type Envelope, usageBody } from "./answer.ts";
import { toolCallBody } from "./messages.ts";

/** The body of a whole chat completion. */
export function chatCompletion(base: Envelope, { choices, usage }: Completion) {
  return { ...base, choices: choices.map(choiceBody), usage: usageBody(usage) };
}

/** `content` is null where the model only calls tools. */
function choiceBody({ text, reasoning, toolCalls, reason, logprobs }: CompletionChoice, index: number) {
  const message = {
    role: "assistant",
    content: text === "" && toolCalls.length > 0 ? null : text,
    refusal: null,
    ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map(toolCallBody) }),
  };
  return { index, message, logprobs: logprobs ?? null, finish_reason: reason };
}

export interface ChatEventOptions {
  /** Each event has a `usage`, which is null before the last. */
  readonly withUsage: boolean;
  /** The steps of an application are events with a `step` and nothing new in the message. */
  readonly withSteps: boolean;
}

/** The events of a streamed chat completion. */
export async function* chatEvents(
  parts: AsyncIterable<Part>,
  base: Envelope,
  { withUsage, withSteps }: ChatEventOptions,
): AsyncGenerator<string> {
  const chunk = { ...base, ...(withUsage ? { usage: null } : {}) };
  const deltas = new Deltas();
  const usages: Usage[] = [];
  for await (const part of parts) {
    if (part.type === "finish") usages.push(part.usage);
    if (part.type === "step" && !withSteps) continue;
    const delta = deltas.of(part);
    const { choice: index } = part;
    const logprobs = part.type === "text" ? (part.logprobs ?? null) : null;
    const finish_reason = part.type === "finish" ? part.reason : null;
    const step = part.type === "step" ? { step: { name: part.name, detail: part.detail } } : {};
    yield sseData({ ...chunk, choices: [{ index, delta, logprobs, finish_reason }], ...step });
  }
  yield* closingEvents(base, withUsage ? totalUsage(usages) : undefined);
}

/** What each part adds to the message of its choice; the first of a choice says whose it is. */
class Deltas {
  /** Tool calls so far, by choice; a choice is in here once it has begun. */
  readonly #toolCalls = new Map<number, number>();

  of(part: Part): object {
    const added = this.#added(part);
    if (this.#toolCalls.has(part.choice)) return added;
    this.#toolCalls.set(part.choice, part.type === "tool-call" ? 1 : 0);
    return { role: "assistant", ...(part.type === "text" ? {} : { content: "" }), ...added };
  }

  #added(part: Part): object {
    if (part.type === "text") return { content: part.text };
    if (part.type === "reasoning") return { reasoning_content: part.text };
    if (part.type === "tool-call") return { tool_calls: [this.#toolCall(part)] };
    return {};
  }

  #toolCall({ choice, call }: Extract<Part, { type: "tool-call" }>): object {
    const index = this.#toolCalls.get(choice) ?? 0;
    if (this.#toolCalls.has(choice)) this.#toolCalls.set(choice, index + 1);
    return { index, ...toolCallBody(call) };
  }
}
