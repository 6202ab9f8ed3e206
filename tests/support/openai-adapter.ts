import openai from "../../adapters/openai/index.ts";
import type {
  Call,
  CapLLM,
  ChatRequest,
  ErrorCode,
  Host,
  ModelClient,
  Part,
} from "../../src/contracts/index.ts";
import { collect, testCall, testHost } from "../../src/testing/index.ts";
import type { Answer } from "./openai-upstream.ts";

export const KEY = "sk-very-secret-key";
export const spec = { name: "gpt", version: "1", folder: "/nowhere" };
export const hello: ChatRequest = { messages: [{ role: "user", content: "hello" }], sampling: {} };

/** The adapter with these options, a key, and no further attempts unless they are asked for. */
export async function load(options: Record<string, unknown>, host: Host = testHost()): Promise<CapLLM> {
  const parsed = openai.options.safeParse({ api_key: KEY, max_retries: 0, ...options });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return openai.load(spec, parsed.data, host, testCall());
}

export const text = (parts: readonly Part[]) =>
  parts.map((part) => (part.type === "text" ? part.text : "")).join("");

export async function read(llm: CapLLM, call = testCall()): Promise<string> {
  return text(await collect(llm.streamTokens(hello, call)));
}

/** The parts until the stream fails, and how it fails. */
export async function readUntilFault(llm: CapLLM, call = testCall()) {
  const parts: Part[] = [];
  try {
    for await (const part of llm.streamTokens(hello, call)) parts.push(part);
  } catch (fault) {
    return { text: text(parts), fault: fault as Error & { code: ErrorCode; retryAfterMs?: number } };
  }
  throw new Error("the stream did not fail");
}

/** Gives one answer after the other, and the last one again. */
export function inTurn(...answers: readonly Answer[]): Answer {
  let turn = 0;
  return (response, request) => answers[Math.min(turn++, answers.length - 1)]!(response, request);
}

export function abortable(): { call: Call; abort: () => void; reason: Error } {
  const controller = new AbortController();
  const reason = new Error("gone");
  return { call: testCall({ signal: controller.signal }), abort: () => controller.abort(reason), reason };
}

/** A log that keeps what it is told. */
export function loggedCall() {
  const lines: { fields: Record<string, unknown>; message: string }[] = [];
  const add = (fields: object, message: string) => {
    lines.push({ fields: { ...fields }, message });
  };
  return { call: testCall({ log: { debug: add, info: add, warn: add, error: add } }), lines };
}

export const hosts = (models: Record<string, Partial<ModelClient>>): Host =>
  testHost({ model: (name) => models[name] as ModelClient });

export const says = (...words: readonly string[]): Partial<ModelClient> => ({
  async *chat() {
    for (const word of words) yield { type: "text", choice: 0, text: word } as const;
    const usage = { inputTokens: 1, outputTokens: words.length };
    yield { type: "finish", choice: 0, reason: "stop", usage } as const;
  },
});

export const fails = (code: string): Partial<ModelClient> => ({
  // biome-ignore lint/correctness/useYield: it fails before its first part
  async *chat() {
    throw Object.assign(new Error(`fallback ${code}`), { code });
  },
});
