import type { Call } from "../../src/contracts/index.ts";

/**
 * Stops a piece of work when its call ends or when it makes nobody wait longer than it may. The limit counts
 * only while something is awaited: a slow reader of a stream is not a slow upstream.
 */
export class Patience implements Disposable {
  readonly #call: Call;
  readonly #stop: (reason: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #waiting = false;
  #renew = false;

  constructor(call: Call, stop: (reason: unknown) => void) {
    this.#call = call;
    this.#stop = stop;
    call.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (call.signal.aborted) this.#onAbort();
  }

  /** The work may take `milliseconds` from now on; `late` makes the error. */
  within(milliseconds: number, late: () => unknown): void {
    this.#limit(milliseconds, late, false);
  }

  /** Each wait from now on may take `milliseconds`. */
  each(milliseconds: number, late: () => unknown): void {
    this.#limit(milliseconds, late, true);
  }

  /** One wait for the upstream. */
  async wait<T>(work: Promise<T>): Promise<T> {
    this.#waiting = true;
    if (this.#renew) this.#timer?.refresh();
    try {
      return await work;
    } finally {
      this.#waiting = false;
    }
  }

  #limit(milliseconds: number, late: () => unknown, renew: boolean): void {
    clearTimeout(this.#timer);
    this.#renew = renew;
    this.#timer = setTimeout(() => {
      if (this.#waiting || !renew) this.#stop(late());
    }, milliseconds);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#call.signal.removeEventListener("abort", this.#onAbort);
  }

  readonly #onAbort = (): void => this.#stop(this.#call.signal.reason);
}
