import type { Part } from "../../contracts/index.ts";

/** What a store gave is no answer: somebody else wrote it, or a version of this server before. */
export class UnreadableAnswer extends Error {}

const TYPES: ReadonlySet<unknown> = new Set(["text", "reasoning", "tool-call", "step", "finish"]);

/**
 * The parts of an answer out of a store.
 * @param text JSON of a list of parts.
 * @throws UnreadableAnswer
 */
export function partsOfText(text: string): readonly Part[] {
  const parts = parsed(text);
  if (!Array.isArray(parts) || !parts.every(isPart) || parts.at(-1)?.type !== "finish")
    throw new UnreadableAnswer("a kept answer is no list of parts with an end");
  return parts;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new UnreadableAnswer("a kept answer is no JSON", { cause });
  }
}

function isPart(value: unknown): value is Part {
  if (typeof value !== "object" || value === null) return false;
  const { type, choice, text, reason, usage } = value as Record<string, unknown>;
  if (!TYPES.has(type) || typeof choice !== "number") return false;
  if (type === "finish") return typeof reason === "string" && isUsage(usage);
  return (type !== "text" && type !== "reasoning") || typeof text === "string";
}

function isUsage(value: unknown): boolean {
  const { inputTokens, outputTokens } = (value ?? {}) as Record<string, unknown>;
  return typeof inputTokens === "number" && typeof outputTokens === "number";
}
