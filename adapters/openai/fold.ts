import type { Completion, CompletionChoice, Part, ToolCall, Usage } from "../../src/contracts/index.ts";

interface OpenChoice {
  text: string;
  readonly toolCalls: ToolCall[];
}

/** A whole answer from its parts, in which every choice has its finish. The input is counted once. */
export function fold(parts: readonly Part[]): Completion {
  const open = new Map<number, OpenChoice>();
  const choices: CompletionChoice[] = [];
  let usage: Usage = { inputTokens: 0, outputTokens: 0 };
  for (const part of parts) {
    const choice = open.get(part.choice) ?? { text: "", toolCalls: [] };
    open.set(part.choice, choice);
    if (part.type === "text") choice.text += part.text;
    if (part.type === "tool-call") choice.toolCalls.push(part.call);
    if (part.type !== "finish") continue;
    choices[part.choice] = { ...choice, reason: part.reason };
    const { inputTokens, outputTokens } = part.usage;
    usage = { inputTokens, outputTokens: usage.outputTokens + outputTokens };
  }
  return { choices: Object.values(choices), usage };
}
