import { type Call, CapstanError } from "../contracts/index.ts";

/** The signal of work that several callers wait for: it aborts when the last of them has left. */
export class SharedCall implements Disposable {
  readonly #controller = new AbortController();
  readonly #waiting = new Map<AbortSignal, () => void>();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  static of(calls: readonly Call[]): SharedCall {
    const shared = new SharedCall();
    for (const { signal } of calls) shared.join(signal);
    return shared;
  }

  /** One more waits. */
  join(signal: AbortSignal): void {
    const leave = () => this.#leave(signal);
    this.#waiting.set(signal, leave);
    signal.addEventListener("abort", leave);
    if (signal.aborted) leave();
  }

  /** The work is done: nobody is listened to any more. */
  [Symbol.dispose](): void {
    for (const [signal, leave] of this.#waiting) signal.removeEventListener("abort", leave);
    this.#waiting.clear();
  }

  #leave(signal: AbortSignal): void {
    signal.removeEventListener("abort", this.#waiting.get(signal)!);
    this.#waiting.delete(signal);
    if (this.#waiting.size === 0)
      this.#controller.abort(new CapstanError("CANCELLED", "Nobody waits for the answer any more"));
  }
}
