import ms from "ms";
import { z } from "zod";
import {
  type Call,
  defineMemory,
  invalid,
  type MemoryStore,
  type Session,
  type Turn,
} from "../src/contracts/index.ts";

const options = z.strictObject({
  /** Above this, the session that was used longest ago is forgotten. */
  max_sessions: z.int().min(1).default(10_000),
  /** A session nobody wrote or read for this long is forgotten, such as "7d"; absent: never. */
  ttl: z
    .string()
    .refine((text) => duration(text) > 0, "is not a duration such as 30m, 12h or 7d")
    .optional(),
});

/** Conversations in this process's own memory: lost when it ends, and not shared with other replicas. */
export default defineMemory({
  name: "in-process",
  options,
  async open({ max_sessions, ttl }): Promise<MemoryStore> {
    return new InProcessMemory(max_sessions, ttl === undefined ? Infinity : duration(ttl));
  },
});

/** Milliseconds; 0 for what is no duration. */
function duration(text: string): number {
  return text === "" ? 0 : (ms(text as ms.StringValue) ?? 0);
}

interface Conversation {
  readonly session: Session;
  /** By turn id, oldest first; as JSON, so that it reads back as it would from any other store. */
  readonly turns: Map<string, string>;
  usedAt: number;
}

class InProcessMemory implements MemoryStore {
  readonly #maxSessions: number;
  readonly #ttl: number;
  /**
   * A Map keeps the order of insertion and a session is inserted anew at each use, so the first is always the
   * one used longest ago: all that is needed of an LRU cache.
   */
  readonly #conversations = new Map<string, Conversation>();

  constructor(maxSessions: number, ttl: number) {
    this.#maxSessions = maxSessions;
    this.#ttl = ttl;
  }

  async append(session: Session, turns: readonly Turn[], { signal }: Call): Promise<void> {
    signal.throwIfAborted();
    if (turns.length === 0) return;
    const texts = turns.map((turn) => [turn.id, JSON.stringify(turn)] as const);
    const conversation = this.#use(session) ?? this.#begin(session);
    for (const [id, text] of texts) {
      if (!conversation.turns.has(id)) conversation.turns.set(id, text);
    }
    this.#forget();
  }

  async *read(
    session: Session,
    { last }: { readonly last?: number },
    { signal }: Call,
  ): AsyncGenerator<Turn> {
    signal.throwIfAborted();
    const turns = [...(this.#use(session)?.turns.values() ?? [])];
    for (const text of turns.slice(Math.max(0, turns.length - (last ?? turns.length)))) {
      yield JSON.parse(text) as Turn;
      signal.throwIfAborted();
    }
  }

  async clear(session: Session, { signal }: Call): Promise<void> {
    signal.throwIfAborted();
    this.#conversations.delete(keyOf(session));
  }

  async *sessions(owner: string, { signal }: Call): AsyncGenerator<Session> {
    signal.throwIfAborted();
    this.#forget();
    for (const { session } of [...this.#conversations.values()]) {
      if (session.owner === owner) yield session;
      signal.throwIfAborted();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#conversations.clear();
  }

  #use(session: Session): Conversation | undefined {
    this.#forget();
    const key = keyOf(session);
    const conversation = this.#conversations.get(key);
    if (conversation === undefined) return undefined;
    conversation.usedAt = Date.now();
    this.#conversations.delete(key);
    this.#conversations.set(key, conversation);
    return conversation;
  }

  #begin({ owner, id }: Session): Conversation {
    const conversation = { session: { owner, id }, turns: new Map<string, string>(), usedAt: Date.now() };
    this.#conversations.set(keyOf(conversation.session), conversation);
    return conversation;
  }

  #forget(): void {
    const eldest = Date.now() - this.#ttl;
    for (const [key, { usedAt }] of this.#conversations) {
      if (usedAt >= eldest && this.#conversations.size <= this.#maxSessions) return;
      this.#conversations.delete(key);
    }
  }
}

function keyOf({ owner, id }: Session): string {
  if (id === "") throw invalid("A session needs a name that is not empty", { param: "session_id" });
  return JSON.stringify([owner, id]);
}
