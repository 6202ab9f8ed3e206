import { type ErrorCode, toCapstanError } from "../contracts/index.ts";

/** Why access control refuses a request: what of the key, or which of the limits of its role. */
export type Refusal =
  | "unauthenticated"
  | "model"
  | "request_size"
  | "concurrency"
  | "requests_per_minute"
  | "tokens_per_minute"
  | "month";

/** How often what was refused. */
export class Refusals {
  readonly #counts = new Map<Refusal, number>();

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  add(refusal: Refusal): void {
    this.#counts.set(refusal, (this.#counts.get(refusal) ?? 0) + 1);
  }

  /** Returns or throws as `check` does, and counts what it throws. */
  checking<T>(refusal: Refusal, check: () => T): T {
    try {
      return check();
    } catch (error) {
      this.add(refusal);
      throw error;
    }
  }

  /** Rejects as `work` does, and counts it when the code is that of the refusal. */
  async counting<T>(refusal: Refusal, code: ErrorCode, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (toCapstanError(error).code === code) this.add(refusal);
      throw error;
    }
  }
}
