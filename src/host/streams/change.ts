/** Something to wait for that happens again and again. */
export class Change {
  #next = Promise.withResolvers<void>();
  #times = 0;

  /** How often it happened so far: tells whether it did while somebody was busy. */
  get times(): number {
    return this.#times;
  }

  happened(): void {
    this.#times += 1;
    const before = this.#next;
    this.#next = Promise.withResolvers<void>();
    before.resolve();
  }

  /**
   * Resolves when it next happens, or after `milliseconds`.
   * @throws the signal's reason.
   */
  next(signal: AbortSignal, milliseconds?: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => reject(signal.reason);
    const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    void this.#next.promise.then(resolve);
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    });
  }
}
