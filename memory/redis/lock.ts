import { setTimeout as sleep } from "node:timers/promises";
import { type Call, CapstanError, type SessionLock } from "../../src/contracts/index.ts";
import type { RedisConnection } from "./connection.ts";

/** A process that dies gives its locks up after this long. */
const HOLD_MS = 10_000;
const RENEW_MS = 3000;
/** Longer than any process stands still and still believes in its lock. */
const FENCE_MS = 24 * 3_600_000;

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 200;

/** Waits for a lock; gives the token by which it is held. Tokens grow: a newer holder has a larger one. */
export async function takeLock(
  redis: RedisConnection,
  lock: string,
  fence: string,
  call: Call,
): Promise<number> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const token = await acquire(redis, lock, fence, call);
    if (token > 0) return token;
    await sleep(pause * (0.5 + Math.random()), undefined, { signal: call.signal }).catch(() => {});
    call.signal.throwIfAborted();
  }
}

/** A lock that is given after its caller left is given back. */
async function acquire(redis: RedisConnection, lock: string, fence: string, call: Call): Promise<number> {
  call.signal.throwIfAborted();
  const token = Number(await redis.runUnasked("acquireLock", [lock, fence], [HOLD_MS, FENCE_MS]));
  if (token === 0 || !call.signal.aborted) return token;
  await release(redis, lock, token);
  throw call.signal.reason;
}

function release(redis: RedisConnection, lock: string, token: number): Promise<unknown> {
  return redis.runUnasked("releaseLock", [lock], [token]).catch(() => {});
}

export const LATE =
  "The conversation went on elsewhere while this answer was made, so it is not remembered; send the message again";

/** A lock while it is held: renewed until it is disposed, or turns out to be another's. */
export class HeldLock implements SessionLock {
  readonly token: number;
  readonly #redis: RedisConnection;
  readonly #key: string;
  readonly #timer: NodeJS.Timeout;
  readonly #done: () => void;
  #released: Promise<unknown> | undefined;

  constructor(redis: RedisConnection, key: string, token: number, done: () => void) {
    this.#redis = redis;
    this.#key = key;
    this.token = token;
    this.#done = done;
    this.#timer = setInterval(() => this.#renew(), RENEW_MS).unref();
  }

  /** For what is written elsewhere; what Redis itself keeps is fenced by the token. */
  async confirm(call: Call): Promise<void> {
    const held = await this.#redis.run("renewLock", [this.#key], [this.token, HOLD_MS], call);
    if (held !== 1) throw new CapstanError("NOT_READY", LATE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#released ??= release(this.#redis, this.#key, this.token).finally(this.#done);
    await this.#released;
  }

  /** While Redis is away it is tried again: the lock may have outlived that. */
  #renew(): void {
    this.#redis.runUnasked("renewLock", [this.#key], [this.token, HOLD_MS]).then(
      (held) => {
        if (held === 0) clearInterval(this.#timer);
      },
      () => {},
    );
  }
}
