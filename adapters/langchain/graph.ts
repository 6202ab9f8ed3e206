import type { Part } from "../../src/contracts/index.ts";
import { Answer, answerKey, isMessage } from "./answer.ts";
import { isObject, kindOf, type LooseMessage, toolCallOf } from "./messages.ts";
import type { LangChainOptions } from "./options.ts";
import { countTold } from "./told.ts";
import type { Work } from "./work.ts";

/** `tasks` tells when nodes begin and end, and `values` the state after each step. */
export const STREAM_MODES = ["messages", "tasks", "values"] as const;

type Reading = Pick<LangChainOptions, "nodes" | "output">;

/** What `tasks` tells: a node begins, or has ended with a result. */
interface Task {
  readonly name?: unknown;
  readonly result?: unknown;
  readonly interrupts?: readonly { readonly value?: unknown }[];
}

/**
 * A graph's stream as parts: tokens, a step `node` as each begins, `tool-call` and `tool-result`, and `interrupt`.
 * Tool calls are the graph's own affair, except those that it ends with.
 */
export class GraphReader {
  readonly answer = new Answer();
  readonly #work: Work;
  readonly #reading: Reading;
  /** Tool calls that were told of, or were there before. */
  readonly #told: Set<string>;
  #state: unknown;
  /** What an interrupted graph wants to know. */
  #question: unknown;

  /** @param known ids of the tool calls in the conversation so far. */
  constructor(work: Work, reading: Reading, known: readonly string[]) {
    this.#work = work;
    this.#reading = reading;
    this.#told = new Set(known);
  }

  /** @param item `[mode, payload]`. */
  *read(item: unknown): Generator<Part> {
    const [mode, payload] = item as [string, unknown];
    if (mode === "values") this.#state = payload;
    else if (mode === "messages") yield* this.#token(payload as [unknown, { langgraph_node?: string }?]);
    else if (mode === "tasks") yield* this.#task(payload as Task);
  }

  /** What the last state says and no token did. */
  *end(): Generator<Part> {
    const state = isObject(this.#state) ? this.#state : {};
    const { messages } = state as { messages?: unknown };
    const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
    const own = kindOf(last) === "ai" ? (last as LooseMessage) : undefined;
    const { output } = this.#reading;
    if (output !== undefined) yield* this.answer.result(state[output] ?? this.#question ?? own ?? "");
    else if (this.answer.pieces === 0)
      yield* this.answer.result(this.#question ?? own ?? resultOf(this.#state));
    if (own !== undefined) yield* this.answer.left(own);
    this.answer.check();
  }

  *#token([message, metadata]: [unknown, { langgraph_node?: string }?]): Generator<Part> {
    if (kindOf(message) !== "ai") return;
    countTold(this.#work, message as LooseMessage);
    const { nodes, output } = this.#reading;
    const node = metadata?.langgraph_node ?? "";
    const isAnswer = output === undefined && (nodes?.includes(node) ?? true);
    if (isAnswer) yield* this.answer.written(message as LooseMessage);
  }

  *#task({ name, result, interrupts = [] }: Task): Generator<Part> {
    if (result === undefined) yield step("node", { node: String(name) });
    for (const message of messagesIn(result)) yield* this.#tools(message);
    if (result === undefined) return;
    for (const { value } of interrupts.flat()) {
      this.#question = value;
      yield step("interrupt", { value });
    }
  }

  *#tools(message: LooseMessage): Generator<Part> {
    const { tool_calls = [], invalid_tool_calls = [], tool_call_id, name, content, status } = message;
    if (tool_call_id !== undefined && this.#isNew(`result ${tool_call_id}`)) {
      yield step("tool-result", {
        tool: name,
        id: tool_call_id,
        output: content,
        failed: status === "error",
      });
    }
    for (const call of tool_calls) {
      const { id, name: tool } = toolCallOf(call);
      if (this.#isNew(id)) yield step("tool-call", { tool, id, input: call.args });
    }
    for (const { id = "", name: tool, args: input } of invalid_tool_calls) {
      if (this.#isNew(id)) yield step("tool-call", { tool, id, input, failed: true });
    }
  }

  #isNew(id: string): boolean {
    const isNew = !this.#told.has(id);
    this.#told.add(id);
    return isNew;
  }
}

function step(name: string, detail: object): Part {
  return { type: "step", choice: 0, name, detail };
}

/** What a graph without messages answers with. */
function resultOf(state: unknown): unknown {
  const key = answerKey(state, undefined);
  if (key !== undefined) return (state as Record<string, unknown>)[key];
  // Messages that end with the user's or a tool's say nothing.
  return isObject(state) && "messages" in state ? "" : (state ?? "");
}

const DEEPEST = 4;

/** Messages anywhere in what a node gave: by itself, in lists, under keys of the state. */
function messagesIn(value: unknown, depth = 0): LooseMessage[] {
  if (isMessage(value)) return [value];
  if (typeof value !== "object" || value === null || depth === DEEPEST) return [];
  return Object.values(value).flatMap((each) => messagesIn(each, depth + 1));
}
