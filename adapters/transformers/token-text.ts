import type { PreTrainedTokenizer } from "@huggingface/transformers";

/** What a decoder puts for a character whose bytes are not all there yet. */
const INCOMPLETE = "\uFFFD";
/** More tokens than any character has: bytes that never become UTF-8 are not waited for. */
const MAX_HELD_BACK = 16;
/** Tokens decoded again before new ones: whether a space belongs between depends on them. */
const LOOK_BACK = 8;

/** Text of tokens as they come. A character that lies across tokens is held back until it is complete. */
export class TokenText {
  readonly #tokenizer: PreTrainedTokenizer;
  #before: number[] = [];
  #open: number[] = [];

  constructor(tokenizer: PreTrainedTokenizer) {
    this.#tokenizer = tokenizer;
  }

  push(token: number): string {
    this.#open.push(token);
    const text = this.#openText();
    if (text.endsWith(INCOMPLETE) && this.#open.length < MAX_HELD_BACK) return "";
    this.#before = [...this.#before, ...this.#open].slice(-LOOK_BACK);
    this.#open = [];
    return text;
  }

  /** What was held back. */
  end(): string {
    const text = this.#open.length === 0 ? "" : this.#openText();
    this.#open = [];
    return text;
  }

  #openText(): string {
    const before = this.#before.length === 0 ? "" : this.#decode(this.#before);
    return this.#decode([...this.#before, ...this.#open]).slice(before.length);
  }

  #decode(tokens: number[]): string {
    return this.#tokenizer.decode(tokens, { skip_special_tokens: true });
  }
}
