/** Lets one at a time through for each key, in the order they came. */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<void>>();

  /** @throws the signal's reason when it aborts first. */
  async enter(key: string, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const before = this.#tails.get(key) ?? Promise.resolve();
    const { promise: left, resolve: leave } = Promise.withResolvers<void>();
    const tail = before.then(() => left);
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    try {
      await unlessAborted(before, signal);
    } catch (reason) {
      leave();
      throw reason;
    }
    return { [Symbol.dispose]: leave };
  }
}

function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  work.finally(() => signal.removeEventListener("abort", abort)).then(resolve, reject);
  return promise;
}
