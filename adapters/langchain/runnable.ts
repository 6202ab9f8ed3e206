import type { Part } from "../../src/contracts/index.ts";
import { Answer, answerKey, isMessage } from "./answer.ts";
import type { Library } from "./library.ts";
import { isObject, type LooseMessage } from "./messages.ts";

/** A Runnable's stream as parts: text and messages as they come, an object's answer or else all of it as JSON. */
export class RunnableReader {
  readonly answer = new Answer();
  readonly #library: Library;
  readonly #output: string | undefined;
  /** Each object is all that is known by then, as parsers of JSON give it; elsewhere what is new. */
  readonly #cumulative: boolean;
  #whole: unknown;
  #message: LooseMessage | undefined;

  constructor(library: Library, runnable: object, output: string | undefined) {
    this.#library = library;
    this.#output = output;
    this.#cumulative = isCumulative(runnable);
  }

  *read(chunk: unknown): Generator<Part> {
    if (typeof chunk === "string") yield* this.answer.text(chunk);
    else if (isMessage(chunk)) yield* this.#written(chunk);
    else if (this.#cumulative) this.#whole = chunk;
    else yield* this.#object(chunk);
  }

  *end(): Generator<Part> {
    if (this.#whole !== undefined && this.answer.pieces === 0) {
      const key = this.#output;
      yield* this.answer.result(key !== undefined && isObject(this.#whole) ? this.#whole[key] : this.#whole);
    }
    if (this.#message !== undefined) yield* this.answer.left(this.#message);
    this.answer.check();
  }

  *#object(chunk: unknown): Generator<Part> {
    const key = answerKey(chunk, this.#output);
    const value = key === undefined ? undefined : (chunk as Record<string, unknown>)[key];
    if (typeof value === "string") yield* this.answer.text(value);
    else if (isMessage(value)) yield* this.#written(value);
    else this.#whole = this.#whole === undefined ? chunk : this.#joined(chunk);
  }

  *#written(message: LooseMessage): Generator<Part> {
    this.#message = (
      this.#message === undefined ? message : this.#concat(this.#message, message)
    ) as LooseMessage;
    // A Runnable writes one text, whatever its chunks are called.
    yield* this.answer.written({ ...copied(message), id: undefined });
  }

  #joined(chunk: unknown): unknown {
    return this.#concat(this.#whole, chunk);
  }

  /** As LangChain joins chunks; what it cannot join is replaced. */
  #concat(before: unknown, after: unknown): unknown {
    try {
      return this.#library.streams.concat(before as object, after as object);
    } catch {
      return after;
    }
  }
}

/** The fields that make text; a spread would lose those that are getters. */
const copied = ({ content, additional_kwargs }: LooseMessage): LooseMessage => ({
  content,
  additional_kwargs,
});

/** LangChain's cumulative parsers have a `diff`, by which they give what is new instead. */
function isCumulative(runnable: object): boolean {
  const { last = runnable } = runnable as { readonly last?: object };
  return "diff" in last && last.diff !== true;
}
