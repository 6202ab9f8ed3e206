import type { Completion, CompletionChoice, FinishReason, Part, ToolCall, Usage } from "./cap-llm.ts";
import { CapstanError } from "./errors.ts";

/**
 * A whole answer from its parts. The choices are in order; the usage counts the input once.
 * @throws CapstanError INTERNAL when the stream ends without a `finish` for each choice, and whatever `parts` throws.
 */
export async function foldParts(parts: AsyncIterable<Part> | Iterable<Part>): Promise<Completion> {
  const fold = new CompletionFold();
  for await (const part of parts) fold.add(part);
  return fold.finish();
}

/** The parts that a whole answer would have come in. Its usage stands at the first choice. */
export function partsOf({ choices, usage }: Completion): Part[] {
  return choices.flatMap((answer, choice) => partsOfChoice(answer, choice, choice === 0 ? usage : NO_USAGE));
}

const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0 };

function partsOfChoice(answer: CompletionChoice, choice: number, usage: Usage): Part[] {
  const { text, reasoning = "", logprobs, toolCalls, reason } = answer;
  const parts: Part[] = [];
  if (reasoning !== "") parts.push({ type: "reasoning", choice, text: reasoning });
  if (text !== "" || logprobs !== undefined) {
    parts.push({ type: "text", choice, text, ...(logprobs === undefined ? {} : { logprobs }) });
  }
  for (const call of toolCalls) parts.push({ type: "tool-call", choice, call });
  parts.push({ type: "finish", choice, reason, usage });
  return parts;
}

/** An answer that is put together while its parts go out. */
export class CompletionFold {
  readonly #choices = new Map<number, OpenChoice>();

  add(part: Part): void {
    const choice = this.#choice(part.choice);
    if (part.type === "text") addText(choice, part.text, part.logprobs);
    else if (part.type === "reasoning") choice.reasoning += part.text;
    else if (part.type === "tool-call") choice.toolCalls.push(part.call);
    else if (part.type === "finish") choice.end = { reason: part.reason, usage: part.usage };
  }

  /** @throws CapstanError INTERNAL unless every choice has its `finish`. */
  finish(): Completion {
    const choices = [...this.#choices]
      .sort(([a], [b]) => a - b)
      .map(([index, choice]) => close(index, choice));
    if (choices.length === 0) throw unfinished(0);
    return {
      choices: choices.map(({ choice }) => choice),
      usage: totalUsage(choices.map(({ usage }) => usage)),
    };
  }

  #choice(index: number): OpenChoice {
    const known = this.#choices.get(index);
    if (known !== undefined) return known;
    const opened: OpenChoice = {
      text: "",
      reasoning: "",
      toolCalls: [],
      logprobs: undefined,
      end: undefined,
    };
    this.#choices.set(index, opened);
    return opened;
  }
}

/** The usage of an answer from that of its choices: all were made from one input. */
export function totalUsage(usages: readonly Usage[]): Usage {
  const cached = usages.flatMap(({ cachedTokens }) => cachedTokens ?? []);
  return {
    inputTokens: Math.max(0, ...usages.map(({ inputTokens }) => inputTokens)),
    ...(cached.length === 0 ? {} : { cachedTokens: Math.max(...cached) }),
    outputTokens: usages.reduce((sum, { outputTokens }) => sum + outputTokens, 0),
  };
}

interface OpenChoice {
  text: string;
  reasoning: string;
  readonly toolCalls: ToolCall[];
  logprobs: unknown;
  end: { readonly reason: FinishReason; readonly usage: Usage } | undefined;
}

function close(index: number, { text, reasoning, toolCalls, logprobs, end }: OpenChoice) {
  if (end === undefined) throw unfinished(index);
  const choice: CompletionChoice = {
    text,
    ...(reasoning === "" ? {} : { reasoning }),
    ...(logprobs === undefined ? {} : { logprobs }),
    toolCalls,
    reason: end.reason,
  };
  return { choice, usage: end.usage };
}

function unfinished(index: number): CapstanError {
  return new CapstanError("INTERNAL", `The model's answer ended before its choice ${index} was finished`);
}

function addText(choice: OpenChoice, text: string, logprobs: unknown): void {
  choice.text += text;
  if (isRecord(logprobs)) choice.logprobs = joinLists(choice.logprobs, logprobs);
}

/** OpenAI's log probabilities are objects of lists, one entry for each token. `first` is added to. */
function joinLists(first: unknown, second: Record<string, unknown>): Record<string, unknown> {
  const joined: Record<string, unknown> = isRecord(first) ? first : {};
  for (const [key, value] of Object.entries(second)) {
    const before = joined[key];
    if (!Array.isArray(value)) joined[key] = value ?? before ?? null;
    else if (Array.isArray(before)) before.push(...(value as unknown[]));
    else joined[key] = [...(value as unknown[])];
  }
  return joined;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
