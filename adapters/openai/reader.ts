import type { ChatRequest, FinishReason, Part, Usage } from "../../src/contracts/index.ts";
import type { Faults } from "./failures.ts";
import { type JsonRecord, recordOf, recordsOf, textOf } from "./json.ts";
import { ToolCalls } from "./tool-calls.ts";
import { estimatedInput, estimatedTokens, type UpstreamUsage, usageIn, usageOf } from "./usage.ts";

interface OpenChoice {
  readonly toolCalls: ToolCalls;
  reason: FinishReason | undefined;
  /** An estimate, for an upstream that does not count. */
  tokens: number;
}

/**
 * Turns the chunks of a stream, or one whole reply, into parts. The finishes come at the end: the usage
 * arrives after the last choice.
 */
export class ReplyReader {
  readonly #request: ChatRequest;
  readonly #faults: Faults;
  readonly #whole: boolean;
  readonly #choices = new Map<number, OpenChoice>();
  #usage: UpstreamUsage = {};

  /** @param whole the reply comes at once, not as chunks of a stream. */
  constructor(request: ChatRequest, faults: Faults, whole: boolean) {
    this.#request = request;
    this.#faults = faults;
    this.#whole = whole;
  }

  /** Every choice that was begun has its finish reason, and one was begun. */
  get complete(): boolean {
    const choices = [...this.#choices.values()];
    return choices.length > 0 && choices.every(({ reason }) => reason !== undefined);
  }

  /** Something of the answer has come, if only a piece of a tool call. */
  get begun(): boolean {
    return [...this.#choices.values()].some(({ tokens, reason }) => tokens > 0 || reason !== undefined);
  }

  /** @throws UpstreamFault where the upstream reports an error. */
  read(reply: JsonRecord): Part[] {
    if (reply.error || reply.object === "error") throw this.#faults.reported(reply);
    this.#usage = { ...this.#usage, ...usageIn(reply) };
    return recordsOf(reply.choices).flatMap((choice) => this.#readChoice(choice));
  }

  /** What is left to say when the upstream has ended. A choice without a reason stopped by itself. */
  finish(): Part[] {
    if (this.#choices.size === 0) this.#open(0);
    const choices = [...this.#choices].sort(([a], [b]) => a - b);
    const usages = this.#usages(choices.map(([, choice]) => choice));
    return choices.flatMap(([choice, { toolCalls, reason }], index): Part[] => {
      const calls = toolCalls.finish().map((call): Part => ({ type: "tool-call", choice, call }));
      const end = reason ?? (calls.length > 0 ? "tool_calls" : "stop");
      return [...calls, { type: "finish", choice, reason: end, usage: usages[index]! }];
    });
  }

  #usages(choices: readonly OpenChoice[]): Usage[] {
    const tokens = choices.map((choice) => choice.tokens);
    return usageOf(this.#usage, tokens, () => estimatedInput(this.#request));
  }

  #readChoice(choice: JsonRecord): Part[] {
    const index = choice.index ?? 0;
    if (!isIndex(index, this.#request.n ?? 1)) return [];
    const open = this.#open(index);
    const parts = this.#readDelta(open, index, choice);
    const reason = textOf(choice.finish_reason);
    if (reason === "error") throw this.#faults.bad("it ended with the finish reason 'error'");
    if (reason === "") return parts;
    open.reason ??= REASONS.get(reason) ?? "stop";
    return [
      ...parts,
      ...open.toolCalls.finish().map((call): Part => ({ type: "tool-call", choice: index, call })),
    ];
  }

  /** A `delta` of a stream, a `message` of a whole reply, or the choice itself in the completions API. */
  #readDelta(open: OpenChoice, choice: number, fields: JsonRecord): Part[] {
    const delta = recordOf(fields.delta ?? fields.message ?? { content: fields.text });
    const reasoning = textOf(delta.reasoning_content) || textOf(delta.reasoning);
    const text = contentOf(delta.content) || textOf(delta.refusal);
    open.toolCalls.add(delta.tool_calls);
    open.tokens += this.#tokensIn(reasoning + text, recordsOf(delta.tool_calls).length);
    const parts: Part[] = [];
    if (reasoning !== "") parts.push({ type: "reasoning", choice, text: reasoning });
    const { logprobs } = fields;
    if (text !== "") parts.push({ type: "text", choice, text, ...(logprobs ? { logprobs } : {}) });
    return parts;
  }

  /** A piece of a stream is about one token. */
  #tokensIn(text: string, toolCalls: number): number {
    if (this.#whole) return estimatedTokens(text.length) + toolCalls;
    return text === "" && toolCalls === 0 ? 0 : 1;
  }

  #open(index: number): OpenChoice {
    const known = this.#choices.get(index);
    if (known !== undefined) return known;
    const opened = { toolCalls: new ToolCalls(), reason: undefined, tokens: 0 };
    this.#choices.set(index, opened);
    return opened;
  }
}

function isIndex(value: unknown, count: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < count;
}

/** Text, or a list of text parts. */
function contentOf(content: unknown): string {
  if (typeof content === "string") return content;
  return recordsOf(content)
    .map(({ text }) => textOf(text))
    .join("");
}

const REASONS: ReadonlyMap<string, FinishReason> = new Map([
  ["length", "length"],
  ["max_tokens", "length"],
  ["tool_calls", "tool_calls"],
  ["function_call", "tool_calls"],
  ["content_filter", "content_filter"],
  ["cancelled", "cancelled"],
  ["abort", "cancelled"],
]);
