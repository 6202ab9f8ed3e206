import type { Redis } from "ioredis";
import {
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from "rate-limiter-flexible";
import { CapstanError } from "../../contracts/index.ts";

const WINDOW_S = 60;

/** What is limited by the minute. */
export type Rate = "requests" | "tokens";

/** How a limit stands after a request. */
export interface RateState {
  readonly rate: Rate;
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds until it is whole again. */
  readonly resetMs: number;
  /** Whether the request got what it wanted. */
  readonly granted: boolean;
}

/** Requests and tokens by the minute, for each key; in Redis the replicas share them. */
export class Rates {
  readonly #limiters = new Map<string, RateLimiterAbstract>();
  readonly #redis: Redis | undefined;
  readonly #whenDown: "local" | "closed";

  /** @param whenDown what counts while Redis is away: each replica's own limits, or none of the limited requests. */
  constructor(redis: Redis | undefined, whenDown: "local" | "closed") {
    this.#redis = redis;
    this.#whenDown = whenDown;
  }

  /**
   * Takes `points` out of a key's minute; nothing is taken where they are not there.
   * @throws CapstanError NOT_READY while the limits cannot be asked.
   */
  async take(rate: Rate, key: string, limit: number, points: number): Promise<RateState> {
    const limiter = this.#limiter(rate, limit);
    try {
      return stateOf(rate, limit, await limiter.consume(key, points), true);
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw unknown(refusal);
      // The limiter counts what it refuses, and smaller requests would pay for it.
      await limiter.reward(key, points).catch(() => {});
      const { consumedPoints, msBeforeNext } = refusal;
      return stateOf(
        rate,
        limit,
        { remainingPoints: limit - (consumedPoints - points), msBeforeNext },
        false,
      );
    }
  }

  /** Gives back what was taken and not used, or takes what was used beyond; nobody waits for it. */
  settle(rate: Rate, key: string, limit: number, difference: number): void {
    if (difference === 0) return;
    const limiter = this.#limiter(rate, limit);
    const settled = difference < 0 ? limiter.reward(key, -difference) : limiter.penalty(key, difference);
    settled.catch(() => {});
  }

  #limiter(rate: Rate, limit: number): RateLimiterAbstract {
    const name = `${rate}:${limit}`;
    let limiter = this.#limiters.get(name);
    if (limiter === undefined) {
      limiter = this.#newLimiter({ points: limit, duration: WINDOW_S, keyPrefix: `capstan:limit:${name}` });
      this.#limiters.set(name, limiter);
    }
    return limiter;
  }

  #newLimiter(options: { points: number; duration: number; keyPrefix: string }): RateLimiterAbstract {
    const local = new RateLimiterMemory(options);
    if (this.#redis === undefined) return local;
    const insurance = this.#whenDown === "local" ? { insuranceLimiter: local } : {};
    return new RateLimiterRedis({
      ...options,
      ...insurance,
      storeClient: this.#redis,
      rejectIfRedisNotReady: true,
    });
  }
}

function stateOf(
  rate: Rate,
  limit: number,
  { remainingPoints, msBeforeNext }: Pick<RateLimiterRes, "remainingPoints" | "msBeforeNext">,
  granted: boolean,
): RateState {
  return { rate, limit, remaining: remainingPoints, resetMs: Math.max(0, msBeforeNext), granted };
}

const unknown = (cause: unknown) =>
  new CapstanError("NOT_READY", "The limits cannot be asked now: Redis does not answer (on_redis_down)", {
    cause,
  });
