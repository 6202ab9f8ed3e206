import type { LlamaModel, Token } from "node-llama-cpp";

type Detokenizer = Pick<LlamaModel, "detokenize">;

/** What the decoder of bytes puts, once, for a character whose bytes are not all there yet. */
const INCOMPLETE = "\uFFFD";
/** More tokens than any character has: bytes that never become UTF-8 are not waited for. */
const MAX_HELD_BACK = 16;
/** Tokens that the detokenizer is shown before new ones: whether a space belongs between depends on them. */
const LOOK_BACK = 8;

/** Text of tokens as they come. A character that lies across tokens is held back until it is complete. */
export class TokenText {
  readonly #model: Detokenizer;
  #before: Token[] = [];
  #open: Token[] = [];
  /** How much of the text of the open tokens was given already. */
  #given = 0;

  constructor(model: Detokenizer) {
    this.#model = model;
  }

  push(token: Token): string {
    this.#open.push(token);
    const text = this.#model.detokenize(this.#open, false, this.#before);
    const incomplete = text.endsWith(INCOMPLETE) && this.#open.length < MAX_HELD_BACK;
    const end = incomplete ? text.length - INCOMPLETE.length : text.length;
    const fresh = text.slice(this.#given, end);
    this.#given = end;
    if (!incomplete) this.#close();
    return fresh;
  }

  #close(): void {
    this.#before = [...this.#before, ...this.#open].slice(-LOOK_BACK);
    this.#open = [];
    this.#given = 0;
  }
}

/** Lets text through up to the first stop sequence, which may lie across pieces and is not part of it. */
export class StopText {
  readonly #stop: readonly string[];
  #held = "";
  #stopped = false;

  constructor(stop: readonly string[] = []) {
    this.#stop = stop.filter((sequence) => sequence !== "");
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  push(piece: string): string {
    const text = this.#held + piece;
    const found = this.#stop.map((sequence) => text.indexOf(sequence)).filter((index) => index !== -1);
    this.#stopped = found.length > 0;
    const end = this.#stopped ? Math.min(...found) : text.length - this.#possibleStart(text);
    this.#held = this.#stopped ? "" : text.slice(end);
    return text.slice(0, end);
  }

  /** What was held back in case it began a stop sequence. */
  end(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }

  /** Length of the longest end of the text with which a stop sequence begins. */
  #possibleStart(text: string): number {
    const longest = Math.max(0, ...this.#stop.map((sequence) => sequence.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const end = text.slice(-length);
      if (this.#stop.some((sequence) => sequence.startsWith(end))) return length;
    }
    return 0;
  }
}
