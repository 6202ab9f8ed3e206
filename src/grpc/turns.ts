/** A place in a queue. `mine` resolves when all before have passed on; `pass` lets the next one on. */
export interface Turn {
  readonly mine: Promise<void>;
  pass(): void;
}

/** The place of what is not in the queue. */
export const UNORDERED: Turn = { mine: Promise.resolve(), pass() {} };

/** Things that are done in any order, and shown in the order they came. */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  take(): Turn {
    const mine = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    return { mine, pass: () => void mine.then(resolve) };
  }
}
