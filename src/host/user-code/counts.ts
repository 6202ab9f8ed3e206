type Watcher = (name: "generations" | "failed", value: number | string) => void;

/** What is counted of user code: here, and in the threads and processes that run it for this one. */
export class UserCodeCounts {
  /** Modules that were imported and are not disposed. */
  generations = 0;
  /** Errors that were thrown outside of any answer, by model. */
  readonly failures = new Map<string, number>();
  #watcher: Watcher = () => {};

  /** @param by 1 for one that was imported, -1 for one that was disposed. */
  changed(by: number): void {
    this.generations += by;
    this.#watcher("generations", by);
  }

  failed(model: string): void {
    this.failures.set(model, (this.failures.get(model) ?? 0) + 1);
    this.#watcher("failed", model);
  }

  /** In a thread or process: tells the server. One watcher. */
  observe(watcher: Watcher): void {
    this.#watcher = watcher;
  }
}

export const userCodeCounts = new UserCodeCounts();
