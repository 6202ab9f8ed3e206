import {
  type Call,
  CapstanError,
  type MemoryStore,
  type Session,
  type SessionLock,
  type Turn,
} from "../../src/contracts/index.ts";
import type { RedisConnection } from "./connection.ts";
import { keysOf, sessionsKey } from "./keys.ts";
import { HeldLock, LATE, takeLock } from "./lock.ts";

/** Sessions in Redis: each operation is one round trip. */
export class RedisMemory implements MemoryStore {
  readonly #redis: RedisConnection;
  readonly #prefix: string;
  /** Milliseconds; 0 for no end. */
  readonly #ttl: number;
  /** The locks this process holds, by their keys: what it writes is fenced by their tokens. */
  readonly #held = new Map<string, HeldLock>();

  constructor(redis: RedisConnection, prefix: string, ttl: number) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#ttl = ttl;
  }

  /** @throws CapstanError NOT_READY when this process held the session's lock for too long, and another has it. */
  async append(session: Session, turns: readonly Turn[], call: Call): Promise<void> {
    const { turns: texts, order, sessions, fence, lock } = keysOf(this.#prefix, session);
    const written = turns.flatMap((turn) => [JSON.stringify(turn.id), JSON.stringify(turn)]);
    call.signal.throwIfAborted();
    if (written.length === 0) return;
    const values = [JSON.stringify(session.id), this.#ttl, this.#held.get(lock)?.token ?? 0, ...written];
    const done = await this.#redis.run("appendTurns", [texts, order, sessions, fence], values, call);
    if (done !== 1) throw new CapstanError("NOT_READY", LATE);
  }

  async *read(session: Session, { last = -1 }: { readonly last?: number }, call: Call): AsyncGenerator<Turn> {
    const { turns, order, sessions } = keysOf(this.#prefix, session);
    const values = [JSON.stringify(session.id), this.#ttl, last];
    const texts = (await this.#redis.run("readTurns", [turns, order, sessions], values, call)) as string[];
    for (const text of texts) {
      yield JSON.parse(text) as Turn;
      call.signal.throwIfAborted();
    }
  }

  async clear(session: Session, call: Call): Promise<void> {
    const { turns, order, sessions } = keysOf(this.#prefix, session);
    await this.#redis.run("clearTurns", [turns, order, sessions], [JSON.stringify(session.id)], call);
  }

  async *sessions(owner: string, call: Call): AsyncGenerator<Session> {
    const ids = await this.#redis.run("listSessions", [sessionsKey(this.#prefix, owner)], [], call);
    for (const id of ids as string[]) {
      yield { owner, id: JSON.parse(id) as string };
      call.signal.throwIfAborted();
    }
  }

  async lock(session: Session, call: Call): Promise<SessionLock> {
    const { lock, fence } = keysOf(this.#prefix, session);
    const token = await takeLock(this.#redis, lock, fence, call);
    const held = new HeldLock(this.#redis, lock, token, () => {
      if (this.#held.get(lock) === held) this.#held.delete(lock);
    });
    this.#held.set(lock, held);
    return held;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#held.values()].map((held) => held[Symbol.asyncDispose]()));
    await this.#redis[Symbol.asyncDispose]();
  }
}
