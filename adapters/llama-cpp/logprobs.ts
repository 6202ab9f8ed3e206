import type { LlamaModel, Token } from "node-llama-cpp";
import { type ChatRequest, invalid } from "../../src/contracts/index.ts";
import { TokenBytes } from "./token-bytes.ts";

/** The most likely tokens that OpenAI's API shows beside each one that was written. */
export const MOST_ALTERNATIVES = 20;

/** What OpenAI's API says for a probability of zero: JSON has no infinity. */
const LEAST = -9999;

/** How many tokens before one may change how it is written. */
const LOOK_BACK = 8;

/** Which log probabilities a request wants. */
export interface Wanted {
  /** How many of the likeliest tokens beside each. */
  readonly top: number;
  /** The form that OpenAI's chat has for them, or that of its completions. */
  readonly form: "chat" | "completions";
}

/**
 * `logprobs` (true) and `top_logprobs` of a chat, and `logprobs` (a count) of a completion.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function wantedLogprobs({ prompt, extra = {} }: ChatRequest): Wanted | undefined {
  const { logprobs, top_logprobs } = extra;
  if (prompt !== undefined) {
    if (logprobs === undefined || logprobs === null || logprobs === false) return undefined;
    return { top: count(logprobs, "logprobs"), form: "completions" };
  }
  const top = count(top_logprobs ?? 0, "top_logprobs");
  if (logprobs === true) return { top, form: "chat" };
  if (logprobs !== undefined && logprobs !== null && logprobs !== false)
    throw invalid("'logprobs' must be true or false, and 'top_logprobs' says how many", {
      param: "logprobs",
    });
  if (top > 0) throw invalid("'top_logprobs' needs 'logprobs': true", { param: "top_logprobs" });
  return undefined;
}

function count(value: unknown, param: string): number {
  const most = MOST_ALTERNATIVES;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw invalid(`'${param}' must be an integer from 0 to ${most}`, { param });
}

interface Scored {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
}

interface Entry extends Scored {
  readonly top: readonly Scored[];
  /** Where its text begins in the answer, in characters. */
  readonly start: number;
}

/** The log probabilities of one choice. They go out with the text that their tokens are in, and like it. */
export class Logprobs {
  readonly #wanted: Wanted;
  readonly #model: LlamaModel;
  readonly #bytes: TokenBytes;
  readonly #waiting: Entry[] = [];
  /** The last tokens: whether a space belongs before the next depends on them. */
  #before: readonly Token[] = [];
  #written = 0;
  #shown = 0;

  constructor(wanted: Wanted, model: LlamaModel) {
    this.#wanted = wanted;
    this.#model = model;
    this.#bytes = new TokenBytes(model);
  }

  /** @param text that the token made whole; what it held back comes with a later one. */
  add(token: Token, text: string, probabilities: ReadonlyMap<Token, number>): void {
    const likeliest = [...probabilities].slice(0, this.#wanted.top);
    const top = likeliest.map(([each, probability]) => this.#scored(each, probability));
    const own = this.#scored(token, probabilities.get(token) ?? 0);
    this.#waiting.push({ ...own, top, start: this.#written });
    this.#written += text.length;
    this.#before = [...this.#before, token].slice(-LOOK_BACK);
  }

  /** Of the tokens that the next piece of text has a part of, as the `logprobs` of that part. */
  shown(piece: string): { logprobs?: object } {
    this.#shown += piece.length;
    const waiting = this.#waiting.findIndex(({ start }) => start >= this.#shown);
    return this.#body(this.#waiting.splice(0, waiting === -1 ? this.#waiting.length : waiting));
  }

  /** Of tokens whose text was never whole. */
  rest(): { logprobs?: object } {
    return this.#body(this.#waiting.splice(0));
  }

  #body(entries: readonly Entry[]): { logprobs?: object } {
    if (entries.length === 0) return {};
    return { logprobs: this.#wanted.form === "chat" ? chatBody(entries) : completionsBody(entries) };
  }

  #scored(token: Token, probability: number): Scored {
    const logprob = Math.max(Math.log(probability), LEAST);
    const text = this.#model.detokenize([token], true, this.#before);
    return { token: text, logprob, bytes: this.#bytes.of(token, text) };
  }
}

function chatBody(entries: readonly Entry[]): object {
  const content = entries.map(({ token, logprob, bytes, top }) => ({
    token,
    logprob,
    bytes,
    top_logprobs: top,
  }));
  return { content, refusal: null };
}

function completionsBody(entries: readonly Entry[]): object {
  return {
    tokens: entries.map(({ token }) => token),
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: entries.map(({ token, logprob, top }) =>
      Object.fromEntries([...top, { token, logprob }].map((each) => [each.token, each.logprob])),
    ),
    text_offset: entries.map(({ start }) => start),
  };
}
