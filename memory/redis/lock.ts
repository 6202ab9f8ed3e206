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

/** A lock that was asked for: its holder's token, which is larger than those before; 0 while another holds it. */
interface Asked {
  readonly token: number;
}

/** Asks for a lock, with whatever else is to happen when it is given. */
export type AskForLock<T extends Asked> = (redis: RedisConnection, times: readonly number[]) => Promise<T>;

/** Waits until a lock is given. */
export async function takeLock<T extends Asked>(
  redis: RedisConnection,
  lock: string,
  ask: AskForLock<T>,
  call: Call,
): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const answer = await askOnce(redis, lock, ask, call);
    if (answer.token > 0) return answer;
    await sleep(pause * (0.5 + Math.random()), undefined, { signal: call.signal }).catch(() => {});
    call.signal.throwIfAborted();
  }
}

/** A lock that is given after its caller left is given back. */
async function askOnce<T extends Asked>(
  redis: RedisConnection,
  lock: string,
  ask: AskForLock<T>,
  call: Call,
): Promise<T> {
  call.signal.throwIfAborted();
  const answer = await ask(redis, [HOLD_MS, FENCE_MS]);
  if (answer.token === 0 || !call.signal.aborted) return answer;
  await release(redis, lock, answer.token);
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
    await this.#end(() => release(this.#redis, this.#key, this.token));
  }

  /** After a script that released it. */
  released(): void {
    void this.#end(async () => {});
  }

  #end(release: () => Promise<unknown>): Promise<unknown> {
    clearInterval(this.#timer);
    this.#released ??= release().finally(this.#done);
    return this.#released;
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
