import type { Redis } from "ioredis";
import { CapstanError } from "../../contracts/index.ts";
import { Leases } from "./leases.ts";

const RETRY_AFTER_MS = 1000;

/** How many requests of a key are under way at once: in this process, and with Redis at all replicas. */
export class Places implements Disposable {
  readonly #taken = new Map<string, number>();
  readonly #leases: Leases | undefined;
  readonly #whenDown: "local" | "closed";

  constructor(redis: Redis | undefined, whenDown: "local" | "closed") {
    this.#leases = redis && new Leases(redis);
    this.#whenDown = whenDown;
  }

  /**
   * Resolves to the end of the stay.
   * @param place `kept`: the request had one before, and goes on also where others took all of them.
   * @throws CapstanError RATE_LIMITED when all are taken; NOT_READY while that cannot be asked.
   */
  async take(key: string, role: string, most: number, place: "new" | "kept"): Promise<() => void> {
    const limit = place === "kept" ? Number.MAX_SAFE_INTEGER : most;
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= limit) throw full(key, role, limit);
    this.#taken.set(key, taken + 1);
    try {
      const lease = await this.#lease(key, role, limit);
      return () => {
        this.#leave(key);
        if (lease !== undefined) this.#leases!.release(key, lease);
      };
    } catch (error) {
      this.#leave(key);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#leases?.[Symbol.dispose]();
  }

  async #lease(key: string, role: string, limit: number): Promise<string | undefined> {
    if (this.#leases === undefined) return undefined;
    let lease: string | undefined;
    try {
      lease = await this.#leases.acquire(key, limit);
    } catch (cause) {
      if (this.#whenDown === "local") return undefined;
      const message = "The limits cannot be asked now: Redis does not answer (on_redis_down)";
      throw new CapstanError("NOT_READY", message, { cause });
    }
    if (lease === undefined) throw full(key, role, limit);
    return lease;
  }

  #leave(key: string): void {
    const taken = (this.#taken.get(key) ?? 1) - 1;
    if (taken === 0) this.#taken.delete(key);
    else this.#taken.set(key, taken);
  }
}

function full(key: string, role: string, limit: number): CapstanError {
  const message = `Key '${key}' of role '${role}' may have ${limit} requests under way at once, and has; come back when one is answered`;
  return new CapstanError("RATE_LIMITED", message, { retryAfterMs: RETRY_AFTER_MS });
}
