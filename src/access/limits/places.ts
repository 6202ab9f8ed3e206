import { CapstanError } from "../../contracts/index.ts";

const RETRY_AFTER_MS = 1000;

/** How many requests of a key are under way at once, in this process. */
export class Places {
  readonly #taken = new Map<string, number>();

  /** @throws CapstanError RATE_LIMITED when all are taken. */
  take(key: string, limit: number): void {
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= limit) {
      const message = `Key '${key}' may have ${limit} requests under way at once, and has`;
      throw new CapstanError("RATE_LIMITED", message, { retryAfterMs: RETRY_AFTER_MS });
    }
    this.#taken.set(key, taken + 1);
  }

  leave(key: string): void {
    const taken = (this.#taken.get(key) ?? 1) - 1;
    if (taken === 0) this.#taken.delete(key);
    else this.#taken.set(key, taken);
  }
}
