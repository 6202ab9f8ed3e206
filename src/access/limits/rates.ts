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
  /** Gives back what was taken and not used, or takes what was used beyond; nobody waits for it. */
  settle(difference: number): void;
}

interface Limiters {
  readonly local: RateLimiterAbstract;
  /** Absent without a Redis. */
  readonly shared: RateLimiterAbstract | undefined;
}

/** Requests and tokens by the minute, for each key; in Redis the replicas share them. */
export class Rates {
  readonly #limiters = new Map<string, Limiters>();
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
    const { shared, local } = this.#limitersOf(rate, limit);
    const take = async (limiter: RateLimiterAbstract) => ({
      ...{ rate, limit },
      ...(await consume(limiter, key, limit, points)),
    });
    if (shared === undefined) return take(local);
    try {
      return await take(shared);
    } catch (cause) {
      if (this.#whenDown === "local") return take(local);
      const message = "The limits cannot be asked now: Redis does not answer (on_redis_down)";
      throw new CapstanError("NOT_READY", message, { cause });
    }
  }

  #limitersOf(rate: Rate, points: number): Limiters {
    const name = `${rate}:${points}`;
    let limiters = this.#limiters.get(name);
    if (limiters === undefined) {
      limiters = this.#newLimiters({ points, duration: WINDOW_S, keyPrefix: `capstan:limit:${name}` });
      this.#limiters.set(name, limiters);
    }
    return limiters;
  }

  #newLimiters(options: { points: number; duration: number; keyPrefix: string }): Limiters {
    const redis = this.#redis;
    return {
      local: new RateLimiterMemory(options),
      shared: redis && new RateLimiterRedis({ ...options, storeClient: redis, rejectIfRedisNotReady: true }),
    };
  }
}

/** Rejects where the limiter's store does not answer. */
async function consume(limiter: RateLimiterAbstract, key: string, limit: number, points: number) {
  try {
    const { remainingPoints, msBeforeNext } = await limiter.consume(key, points);
    const ends = Date.now() + msBeforeNext;
    const settle = (difference: number): void => {
      if (difference > 0) limiter.penalty(key, difference).catch(() => {});
      // What was taken of a minute that is over is not given to the next one.
      else if (difference < 0 && Date.now() < ends) giveBack(limiter, key, -difference).catch(() => {});
    };
    return { granted: true, remaining: remainingPoints, resetMs: Math.max(0, msBeforeNext), settle };
  } catch (refusal) {
    if (!(refusal instanceof RateLimiterRes)) throw refusal;
    // The limiter counts what it refuses, and smaller requests would pay for it.
    await giveBack(limiter, key, points).catch(() => {});
    const { consumedPoints, msBeforeNext } = refusal;
    const remaining = limit - (consumedPoints - points);
    return { granted: false, remaining, resetMs: Math.max(0, msBeforeNext), settle: () => {} };
  }
}

/** Never more than was taken: of a minute that ended in between, or a Redis that lost it, the next begins whole. */
async function giveBack(limiter: RateLimiterAbstract, key: string, points: number): Promise<void> {
  const { consumedPoints } = await limiter.reward(key, points);
  if (consumedPoints < 0) await limiter.penalty(key, -consumedPoints);
}
