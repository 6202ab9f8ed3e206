import { CapstanError, type Part } from "../../src/contracts/index.ts";
import { isObject, kindOf, type LooseMessage, reasoningOf, textOf, toolCallOf } from "./messages.ts";

/** What both kinds of application write into. */
export class Answer {
  /** Parts of text so far. */
  pieces = 0;
  /** Whether tool calls are left to the caller. */
  calls = false;
  #message: string | undefined;
  #faulty: string | undefined;

  /** A text of its own; another message than the one before begins after an empty line. */
  *text(text: string, message?: string): Generator<Part> {
    if (text === "") return;
    const apart = this.pieces > 0 && message !== this.#message ? "\n\n" : "";
    this.#message = message;
    this.pieces += 1;
    yield { type: "text", choice: 0, text: apart + text };
  }

  /** What a model writes: a whole message, or a chunk of one. */
  *written(message: LooseMessage): Generator<Part> {
    const reasoning = reasoningOf(message);
    if (reasoning !== "") yield { type: "reasoning", choice: 0, text: reasoning };
    yield* this.text(textOf(message.content), message.id);
  }

  /** Calls of tools that nobody has answered are for the caller. */
  *left({ tool_calls = [], invalid_tool_calls = [] }: LooseMessage): Generator<Part> {
    const [faulty] = invalid_tool_calls;
    if (faulty !== undefined) this.#faulty = `'${faulty.name}' with ${JSON.stringify(faulty.args)}`;
    for (const call of tool_calls) {
      this.calls = true;
      yield { type: "tool-call", choice: 0, call: toolCallOf(call) };
    }
  }

  /** The rest of an answer, and its end, for an output that was not written as text. */
  *result(output: unknown): Generator<Part> {
    if (isMessage(output)) yield* this.written(output);
    else yield* this.text(typeof output === "string" ? output : (JSON.stringify(output) ?? ""));
  }

  /** @throws CapstanError UPSTREAM when all that a model gave was a call that nobody can read. */
  check(): void {
    if (this.pieces > 0 || this.calls || this.#faulty === undefined) return;
    const text = `The application's model called the tool ${this.#faulty}, which is not JSON, and said nothing else`;
    throw new CapstanError("UPSTREAM", text);
  }
}

export const isMessage = (value: unknown): value is LooseMessage => kindOf(value) !== undefined;

/** Keys under which applications answer, in this order. */
const KEYS = ["answer", "output", "result", "response", "text", "generation"];

/** The key of an object that holds the answer: the one asked for, or else one that has the name of an answer. */
export function answerKey(value: unknown, asked: string | undefined): string | undefined {
  if (!isObject(value)) return undefined;
  if (asked !== undefined) return asked;
  return KEYS.find((key) => typeof value[key] === "string" || isMessage(value[key]));
}
