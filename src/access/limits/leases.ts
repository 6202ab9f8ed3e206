import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";

/** A replica that dies gives its places back after so long. */
const LEASE_MS = 30_000;
const RENEW_MS = LEASE_MS / 3;

const NOW = "local time = redis.call('TIME') local now = time[1] * 1000 + math.floor(time[2] / 1000)";

/** ARGV: limit, lease, its milliseconds. Redis' own clock counts: those of the replicas may differ. */
const ACQUIRE = `${NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`;

const RENEW = `${NOW}
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])`;

const nameOf = (key: string) => `capstan:running:${key}`;

/** Requests under way at all replicas: a sorted set for each key, of leases by the time they end. */
export class Leases implements Disposable {
  readonly #redis: Redis;
  readonly #held = new Map<string, string>();
  readonly #timer: NodeJS.Timeout;

  constructor(redis: Redis) {
    this.#redis = redis;
    this.#timer = setInterval(() => this.#renew(), RENEW_MS).unref();
  }

  /** The lease, or undefined when all places are taken. Rejects when Redis does not answer. */
  async acquire(key: string, limit: number): Promise<string | undefined> {
    const lease = randomUUID();
    try {
      const got = await this.#redis.eval(ACQUIRE, 1, nameOf(key), limit, lease, LEASE_MS);
      if (got !== 1) return undefined;
    } catch (error) {
      // An answer that came too late may have been a place.
      this.release(key, lease);
      throw error;
    }
    this.#held.set(lease, key);
    return lease;
  }

  release(key: string, lease: string): void {
    this.#held.delete(lease);
    this.#redis.zrem(nameOf(key), lease).catch(() => {});
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #renew(): void {
    for (const [lease, key] of this.#held)
      this.#redis.eval(RENEW, 1, nameOf(key), lease, LEASE_MS).catch(() => {});
  }
}
