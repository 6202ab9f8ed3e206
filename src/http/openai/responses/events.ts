import { type CapstanError, CompletionFold, type Part, type ToolCall } from "../../../contracts/index.ts";
import {
  callItem,
  logprobsIn,
  messageId,
  messageItem,
  outcomeOf,
  reasoningItem,
  textPart,
} from "./answer.ts";
import type { Making } from "./making.ts";

/** The events of one response, numbered. */
export class ResponseEvents {
  readonly #making: Making;
  #sequence = 0;
  #outputIndex = 0;
  /** The item that is being written. */
  #open: "message" | "reasoning" | undefined;
  #text = "";
  /** Of the item that is being written. */
  #logprobs: unknown[] = [];

  constructor(making: Making) {
    this.#making = making;
  }

  /** Ends with `response.completed`, or `response.incomplete` where the answer was cut. */
  async *of(parts: AsyncIterable<Part>): AsyncGenerator<string> {
    try {
      yield* this.#answer(parts);
    } catch (thrown) {
      this.#making.fail(thrown);
      throw thrown;
    } finally {
      this.#making.leave();
    }
  }

  async *#answer(parts: AsyncIterable<Part>): AsyncGenerator<string> {
    const begun = this.#making.response({ status: "in_progress", output: [] });
    const fold = new CompletionFold();
    let first = true;
    for await (const part of parts) {
      if (first) yield this.#event("response.created", { response: begun });
      if (first) yield this.#event("response.in_progress", { response: begun });
      first = false;
      if (part.choice !== 0) continue;
      fold.add(part);
      yield* this.#partEvents(part);
    }
    yield* this.#close();
    const { choices, usage } = fold.finish();
    const outcome = outcomeOf(this.#making.itemId, choices[0]!, usage);
    yield this.#event(`response.${outcome.status}`, { response: this.#making.finish(outcome, choices[0]!) });
  }

  /** The last event of a response that failed. */
  failed(error: CapstanError): string {
    return this.#event("response.failed", {
      response: this.#making.response({ status: "failed", output: [], error }),
    });
  }

  *#partEvents(part: Part): Generator<string> {
    if (part.type === "text") yield* this.#delta("message", part.text, logprobsIn(part.logprobs));
    else if (part.type === "reasoning") yield* this.#delta("reasoning", part.text);
    else if (part.type === "tool-call") yield* this.#toolCall(part.call);
  }

  *#delta(
    kind: "message" | "reasoning",
    delta: string,
    logprobs: readonly unknown[] = [],
  ): Generator<string> {
    if (this.#open !== kind) yield* this.#begin(kind);
    this.#text += delta;
    this.#logprobs.push(...logprobs);
    const type = kind === "message" ? "response.output_text.delta" : "response.reasoning_text.delta";
    yield this.#event(type, { ...this.#place(), delta, ...(kind === "message" ? { logprobs } : {}) });
  }

  *#begin(kind: "message" | "reasoning"): Generator<string> {
    yield* this.#close();
    this.#open = kind;
    this.#text = "";
    this.#logprobs = [];
    const { itemId } = this.#making;
    const item =
      kind === "message"
        ? messageItem(itemId, "", "in_progress")
        : { ...reasoningItem(itemId, ""), content: [] };
    yield this.#event("response.output_item.added", { output_index: this.#outputIndex, item });
    if (kind === "message")
      yield this.#event("response.content_part.added", { ...this.#place(), part: textPart("") });
  }

  *#close(): Generator<string> {
    if (this.#open === undefined) return;
    const { itemId } = this.#making;
    const text = this.#text;
    const logprobs = this.#logprobs;
    const isMessage = this.#open === "message";
    const type = isMessage ? "response.output_text.done" : "response.reasoning_text.done";
    yield this.#event(type, { ...this.#place(), text, ...(isMessage ? { logprobs } : {}) });
    if (isMessage)
      yield this.#event("response.content_part.done", { ...this.#place(), part: textPart(text, logprobs) });
    const item = isMessage ? messageItem(itemId, text, "completed", logprobs) : reasoningItem(itemId, text);
    yield this.#event("response.output_item.done", { output_index: this.#outputIndex, item });
    this.#open = undefined;
    this.#outputIndex += 1;
  }

  *#toolCall(call: ToolCall): Generator<string> {
    yield* this.#close();
    const output_index = this.#outputIndex;
    const item = callItem(call);
    const place = { item_id: item.id, output_index };
    yield this.#event("response.output_item.added", { output_index, item: callItem(call, "in_progress") });
    yield this.#event("response.function_call_arguments.delta", { ...place, delta: call.arguments });
    yield this.#event("response.function_call_arguments.done", {
      ...place,
      name: call.name,
      arguments: call.arguments,
    });
    yield this.#event("response.output_item.done", { output_index, item });
    this.#outputIndex += 1;
  }

  #place() {
    const { itemId } = this.#making;
    const item_id = this.#open === "message" ? messageId(itemId) : `rs_${itemId}`;
    return { item_id, output_index: this.#outputIndex, content_index: 0 };
  }

  #event(type: string, fields: object): string {
    const data = JSON.stringify({ type, sequence_number: this.#sequence, ...fields });
    this.#sequence += 1;
    return `event: ${type}\ndata: ${data}\n\n`;
  }
}
