import type { Part } from "../../src/contracts/index.ts";

interface Waiting {
  readonly part: Part;
  readonly taken: () => void;
}

/**
 * Where tasks that work at the same time put the parts of one answer. A part is taken when its reader asks for more, so
 * that nobody runs ahead of a slow reader.
 */
export class Outlet {
  readonly #waiting: Waiting[] = [];
  #wake = Promise.withResolvers<void>();
  #end: { readonly error?: unknown } | undefined;
  #left = false;

  /** Resolves when the part was taken; at once when nobody reads any more. */
  put(part: Part): Promise<void> {
    if (this.#left) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ part, taken: resolve });
    this.#wake.resolve();
    return promise;
  }

  /** No more parts come; the reader gets those that wait, and then the error if there is one. */
  end(fault?: { readonly error: unknown }): void {
    this.#end = fault ?? {};
    this.#wake.resolve();
  }

  async *read(): AsyncGenerator<Part> {
    try {
      for (;;) {
        const next = this.#waiting.shift();
        if (next !== undefined) {
          try {
            yield next.part;
          } finally {
            next.taken();
          }
        } else if (this.#end !== undefined) {
          if ("error" in this.#end) throw this.#end.error;
          return;
        } else {
          await this.#wake.promise;
          this.#wake = Promise.withResolvers<void>();
        }
      }
    } finally {
      this.#left = true;
      for (const { taken } of this.#waiting) taken();
    }
  }
}
