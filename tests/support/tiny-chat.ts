import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CapLLM, ChatRequest, Message, ModelSpec, Part } from "../../src/contracts/index.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { ROOT } from "./source-files.ts";

export const TINY_CHAT = join(ROOT, "model-settings", "tiny-chat");

export function tinyChat(artifact = join(TINY_CHAT, "tiny-chat.gguf")): ModelSpec {
  return { name: "tiny-chat", version: "1", folder: TINY_CHAT, artifact };
}

interface ReferenceCase {
  readonly id: string;
  readonly messages: readonly Message[];
  readonly prompt: string;
  readonly prompt_tokens: number;
  readonly text: string;
  readonly completion_tokens: number;
  readonly finish_reason: "stop" | "length";
  readonly min_top2_logit_margin: number;
}

const file = join(ROOT, "tests", "fixtures", "tiny-chat-cases.json");
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { readonly cases: readonly ReferenceCase[] };

/** Greedy answers that every backend must give: the two best logits are never close. */
export const CASES = cases.filter(({ min_top2_logit_margin: margin }) => margin >= 1);

export const user = (content: string): Message => ({ role: "user", content });

export function ask(content: string, sampling: ChatRequest["sampling"] = {}): ChatRequest {
  return { messages: [user(content)], sampling };
}

export async function answer(llm: CapLLM, request: ChatRequest, call = testCall()): Promise<Part[]> {
  return collect(llm.streamTokens(request, call));
}

export function textOf(parts: readonly Part[], choice = 0): string {
  return parts.map((part) => (part.type === "text" && part.choice === choice ? part.text : "")).join("");
}

export function finishOf(parts: readonly Part[], choice = 0): Extract<Part, { type: "finish" }> | undefined {
  return parts.find((part) => part.type === "finish" && part.choice === choice) as never;
}
