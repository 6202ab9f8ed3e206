import type { Part } from "../../src/contracts/index.ts";
import { findStop, undecided, WholeCharacters } from "./stops.ts";

type TextPart = Extract<Part, { type: "text" }>;

/** The text of one choice on its way out: whole characters only, and nothing from a stop sequence on. */
export class Choice {
  readonly index: number;
  /** No more parts of this choice are passed on. */
  done = false;
  /** Everything the model wrote, a stop sequence included. */
  written = "";
  /** Parts with text or reasoning; adapters give one for each token, or nearly. */
  tokens = 0;
  readonly #stops: readonly string[];
  readonly #characters = new WholeCharacters();
  #held: TextPart[] = [];

  constructor(index: number, stops: readonly string[]) {
    this.index = index;
    this.#stops = stops;
  }

  /** What may go out by now. It is `done` when a stop sequence was completed. */
  push(part: TextPart): TextPart[] {
    this.written += part.text;
    this.tokens += 1;
    const text = this.#characters.push(part.text);
    if (text !== "" || part.logprobs !== undefined) {
      this.#held.push(text === part.text ? part : { ...part, text });
    }
    const pending = this.#held.map((held) => held.text).join("");
    const stop = findStop(pending, this.#stops);
    if (stop === undefined) return this.#release(pending.length - undecided(pending, this.#stops));
    this.done = true;
    return this.#release(stop);
  }

  /** What was held back and is no stop sequence after all. */
  end(): TextPart[] {
    this.done = true;
    return this.#held.splice(0);
  }

  /** The first `length` characters, a part being cut in two where that is needed. */
  #release(length: number): TextPart[] {
    let left = length;
    let whole = 0;
    for (; whole < this.#held.length && this.#held[whole]!.text.length <= left; whole++) {
      left -= this.#held[whole]!.text.length;
    }
    const released = this.#held.splice(0, whole);
    if (left === 0) return released;
    const { logprobs: _, ...rest } = this.#held[0]!;
    released.push({ ...this.#held[0]!, text: rest.text.slice(0, left) });
    this.#held[0] = { ...rest, text: rest.text.slice(left) };
    return released;
  }
}
