import type { Call, Part } from "../../contracts/index.ts";
import { SharedCall } from "../../host/shared-call.ts";

/** An answer that is being made, and read by everybody who asked the same. It stops with its last reader. */
export class Recording {
  readonly #shared = SharedCall.of([]);
  readonly #parts: Part[] = [];
  readonly #waiting = new Set<() => void>();
  #end: { readonly error?: unknown } | undefined;

  /** Aborts when its last reader has left: nobody can join it any more. */
  get signal(): AbortSignal {
    return this.#shared.signal;
  }

  /** Resolves to the whole answer; rejects with what the model throws. */
  async record(parts: AsyncIterable<Part>): Promise<readonly Part[]> {
    try {
      for await (const part of parts) {
        this.#parts.push(part);
        this.#wake();
      }
      this.#end = {};
      return this.#parts;
    } catch (error) {
      this.#end = { error };
      throw error;
    } finally {
      this.#shared[Symbol.dispose]();
      this.#wake();
    }
  }

  /** From the beginning, as it comes; rejects with the call's reason when its caller has left. */
  async *read({ signal }: Call): AsyncGenerator<Part> {
    const leaving = new AbortController();
    const left = AbortSignal.any([signal, leaving.signal]);
    // An answer that is whole has nothing to stop.
    if (this.#end === undefined) this.#shared.join(left);
    try {
      for (let next = 0; ; next++) {
        while (next >= this.#parts.length && this.#end === undefined) {
          signal.throwIfAborted();
          await this.#more(signal);
        }
        signal.throwIfAborted();
        if (next >= this.#parts.length) break;
        yield this.#parts[next]!;
      }
      if (this.#end?.error !== undefined) throw this.#end.error;
    } finally {
      leaving.abort();
    }
  }

  #more(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake);
      if (signal.aborted) wake();
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
