/**
 * Where a text ends because of a stop sequence: the start of the one that is complete first, and of the
 * longest where several are complete at once. So the answer does not depend on where its tokens begin.
 * Undefined where there is none.
 */
export function findStop(text: string, stops: readonly string[]): number | undefined {
  let start: number | undefined;
  let end = Number.POSITIVE_INFINITY;
  for (const stop of stops) {
    const index = text.indexOf(stop);
    if (index < 0 || index + stop.length > end) continue;
    if (index + stop.length === end && start !== undefined && start <= index) continue;
    start = index;
    end = index + stop.length;
  }
  return start;
}

/** Length of the longest end of `text` with which a stop sequence may have begun. */
export function undecided(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}

const HIGH_SURROGATE = /[\ud800-\udbff]$/;

/** Joins characters that were cut in two between tokens; what can no longer become one is U+FFFD. */
export class WholeCharacters {
  #half = "";

  /** The text that is whole by now. */
  push(token: string): string {
    const text = this.#half + token;
    this.#half = HIGH_SURROGATE.exec(text)?.[0] ?? "";
    return text.slice(0, text.length - this.#half.length).toWellFormed();
  }
}
