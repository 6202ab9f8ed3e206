import { type Call, CapstanError } from "../../src/contracts/index.ts";

/** Counts what a model is doing, so that it is not taken away in the middle of it. */
export class Workload {
  readonly #model: string;
  #running = 0;
  #idle: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(model: string) {
    this.#model = model;
  }

  /** @throws CapstanError NOT_READY once the model is being closed; the signal's reason when it aborted. */
  admit({ signal }: Call): void {
    signal.throwIfAborted();
    if (this.#closing !== undefined) throw this.#unloaded();
  }

  /** Like {@link admit}, for work that has begun: it goes on while the model is being closed. */
  goOn({ signal }: Call): void {
    signal.throwIfAborted();
    if (this.#closed) throw this.#unloaded();
  }

  async run<T>(work: () => T | Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#idle?.();
    }
  }

  /**
   * Refuses what is new, and resolves when nothing runs any more. A stream whose reader has paused counts as
   * not running: it ends with NOT_READY when it is read on.
   */
  close(): Promise<void> {
    this.#closing ??= this.#drained().then(() => {
      this.#closed = true;
    });
    return this.#closing;
  }

  #drained(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  #unloaded(): CapstanError {
    return new CapstanError("NOT_READY", `Model '${this.#model}' has been unloaded`);
  }
}
