type Entry =
  | { readonly type: "item" | "end"; readonly value: unknown }
  | { readonly type: "failure"; readonly error: unknown };

/** What came in answer to one question and was not read yet. One reader. */
export class Inbox {
  readonly #entries: Entry[] = [];
  #abort: { readonly reason: unknown } | undefined;
  #wake: (() => void) | undefined;

  put(value: unknown): void {
    this.#add({ type: "item", value });
  }

  end(value: unknown): void {
    this.#add({ type: "end", value });
  }

  /** Thrown after what came before it was read. */
  fail(error: unknown): void {
    this.#add({ type: "failure", error });
  }

  /** Thrown at once: the reader does not want the rest. The first counts. */
  abort(reason: unknown): void {
    this.#abort ??= { reason };
    this.#wake?.();
  }

  async next(): Promise<{ readonly done: boolean; readonly value: unknown }> {
    for (;;) {
      if (this.#abort !== undefined) throw this.#abort.reason;
      const entry = this.#entries.shift();
      if (entry?.type === "failure") throw entry.error;
      if (entry !== undefined) return { done: entry.type === "end", value: entry.value };
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  #add(entry: Entry): void {
    this.#entries.push(entry);
    this.#wake?.();
  }
}
