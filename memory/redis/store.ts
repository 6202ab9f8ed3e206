import {
  type BegunTurn,
  type Call,
  CapstanError,
  type MemoryStore,
  type Session,
  type SessionLock,
  type Turn,
} from "../../src/contracts/index.ts";
import type { RedisConnection } from "./connection.ts";
import { keysOf, type SessionKeys, sessionsKey } from "./keys.ts";
import { type AskForLock, HeldLock, LATE, takeLock } from "./lock.ts";

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
    const written = textsOf(turns);
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
    const keys = keysOf(this.#prefix, session);
    const ask: AskForLock<{ token: number }> = async (redis, times) => {
      return { token: Number(await redis.runUnasked("acquireLock", [keys.lock, keys.fence], times)) };
    };
    const { token } = await takeLock(this.#redis, keys.lock, ask, call);
    return this.#hold(keys, token);
  }

  async beginTurn(
    session: Session,
    { last = -1 }: { readonly last?: number },
    call: Call,
  ): Promise<BegunTurn> {
    const keys = keysOf(this.#prefix, session);
    const { lock, fence, turns, order, sessions } = keys;
    const ask: AskForLock<{ token: number; texts: string[] }> = async (redis, times) => {
      const values = [...times, JSON.stringify(session.id), this.#ttl, last];
      const answer = await redis.runUnasked("beginTurn", [lock, fence, turns, order, sessions], values);
      const [token, texts] = answer as [number, string[]];
      return { token, texts };
    };
    const { token, texts } = await takeLock(this.#redis, lock, ask, call);
    const held = this.#hold(keys, token);
    return {
      turns: texts.map((text) => JSON.parse(text) as Turn),
      end: (spoken, inner) => this.#endTurn(session, keys, held, spoken, inner),
      [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
    };
  }

  async #endTurn(
    session: Session,
    { turns, order, sessions, fence, lock }: SessionKeys,
    held: HeldLock,
    spoken: readonly Turn[],
    call: Call,
  ): Promise<void> {
    const written = textsOf(spoken);
    call.signal.throwIfAborted();
    if (written.length === 0) return held[Symbol.asyncDispose]();
    const values = [JSON.stringify(session.id), this.#ttl, held.token, ...written];
    const done = await this.#redis.run("endTurn", [turns, order, sessions, fence, lock], values, call);
    if (done !== 1) throw new CapstanError("NOT_READY", LATE);
    held.released();
  }

  #hold({ lock }: SessionKeys, token: number): HeldLock {
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

/** The id and the text of each, in turn. */
function textsOf(turns: readonly Turn[]): string[] {
  return turns.flatMap((turn) => [JSON.stringify(turn.id), JSON.stringify(turn)]);
}
