/** Lets one at a time through for each key, in the order they came. */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, number>();

  isTaken(key: string): boolean {
    return this.#tails.has(key);
  }

  /** How many wait for a key, beside the one that was let through. */
  waiting(key: string): number {
    return this.#waiting.get(key) ?? 0;
  }

  /** @throws the signal's reason when it aborts first. */
  async enter(key: string, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const before = this.#tails.get(key);
    const { promise: left, resolve: leave } = Promise.withResolvers<void>();
    const tail = before?.then(() => left) ?? left;
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    if (before === undefined) return { [Symbol.dispose]: leave };
    this.#count(key, 1);
    try {
      await unlessAborted(before, signal);
    } catch (reason) {
      leave();
      throw reason;
    } finally {
      this.#count(key, -1);
    }
    return { [Symbol.dispose]: leave };
  }

  #count(key: string, change: 1 | -1): void {
    const count = this.waiting(key) + change;
    if (count === 0) this.#waiting.delete(key);
    else this.#waiting.set(key, count);
  }
}

function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  work.finally(() => signal.removeEventListener("abort", abort)).then(resolve, reject);
  return promise;
}
