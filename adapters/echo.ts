import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import {
  type Call,
  type CapLLM,
  type ChatRequest,
  defineAdapter,
  type FinishReason,
  invalid,
  type Message,
  type Part,
  refuseUnsupported,
  type Sampling,
} from "../src/contracts/index.ts";

const options = z.strictObject({
  /** Milliseconds before each token. */
  delay_ms: z.number().min(0).max(3_600_000).default(0),
});

/** Answers `Echo: <last user message>` word by word, for demonstrations and tests. It has no artifact. */
export default defineAdapter({
  name: "echo",
  options,
  overridable: ["delay_ms"],
  async load(_model, { delay_ms }, _host, call): Promise<CapLLM> {
    call.signal.throwIfAborted();
    return {
      streamTokens: (request, call) => echo(request, delay_ms, call),
      tokenize: async (text) => split(text).map((_, place) => place),
      async [Symbol.asyncDispose]() {},
    };
  },
});

/**
 * Sampling settings are kept to as they stand: one text has all of the probability, and no setting changes that.
 * Choices are alike and take turns, so that a reader sees them interleaved.
 */
async function* echo(request: ChatRequest, delay: number, call: Call): AsyncGenerator<Part> {
  call.signal.throwIfAborted();
  refuseUnsupported(request, "echo", ["n"]);
  const question = questionOf(request);
  const { words, reason } = answer(`Echo: ${question}`, request.sampling);
  const choices = Array.from({ length: request.n ?? 1 }, (_, choice) => choice);
  for (const text of words) {
    await pause(delay, call);
    for (const choice of choices) {
      yield { type: "text", choice, text };
      call.signal.throwIfAborted();
    }
  }
  const usage = { inputTokens: inputWords(request), outputTokens: words.length };
  for (const choice of choices) yield { type: "finish", choice, reason, usage };
}

async function pause(delay: number, { signal }: Call): Promise<void> {
  if (delay === 0) return;
  try {
    await sleep(delay, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}

function questionOf({ messages, prompt }: ChatRequest): string {
  if (prompt !== undefined) return prompt;
  const last = messages?.findLast(({ role }) => role === "user");
  if (last === undefined) throw invalid("echo needs a user message or a prompt", { param: "messages" });
  return textOf(last);
}

function textOf({ content }: Message): string {
  if (typeof content === "string") return content;
  return content.map((part) => (typeof part.text === "string" ? part.text : "")).join("");
}

/** Limited first and searched for stop sequences then, as a model does that writes token by token. */
function answer(text: string, sampling: Sampling): { words: string[]; reason: FinishReason } {
  const all = split(text);
  const words = all.slice(0, sampling.maxTokens ?? all.length);
  const written = words.join("");
  const end = firstStop(written, sampling.stop ?? []);
  if (end !== undefined) return { words: split(written.slice(0, end)), reason: "stop" };
  return { words, reason: words.length < all.length ? "length" : "stop" };
}

/** Words with the spaces before them, so that they concatenate to the text; the last takes the rest. */
function split(text: string): string[] {
  return text.match(/\s*\S+(\s+$)?/g) ?? [];
}

function firstStop(text: string, stop: readonly string[]): number | undefined {
  const found = stop.map((sequence) => (sequence === "" ? -1 : text.indexOf(sequence)));
  const ends = found.filter((index) => index !== -1);
  return ends.length === 0 ? undefined : Math.min(...ends);
}

function inputWords({ messages, prompt }: ChatRequest): number {
  if (prompt !== undefined) return split(prompt).length;
  return (messages ?? []).reduce((sum, message) => sum + split(textOf(message)).length, 0);
}
