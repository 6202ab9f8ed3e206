import { setTimeout } from "node:timers/promises";
import type { Log, Part } from "../../contracts/index.ts";
import { UnreadableAnswer } from "./answer-text.ts";
import type { CompletionStore, KeptAnswer } from "./stores.ts";

/** The model is asked when the store takes longer. */
const PATIENCE_MS = 1000;
/** A store that is away holds up one request in so long, and no other. */
const REST_MS = 2000;

/** A store that may be away, or hang, or hold what nobody can read: all of it is as if it had nothing. */
export class StoreAccess {
  readonly #store: CompletionStore;
  readonly #ttlMs: number;
  readonly #log: Log;
  #awayUntil = 0;
  /** What was said already; it is said again when the store has answered in between. */
  readonly #said = new Set<string>();
  stores = 0;
  failures = 0;

  constructor(store: CompletionStore, ttlMs: number, log: Log) {
    this.#store = store;
    this.#ttlMs = ttlMs;
    this.#log = log;
  }

  /** @param signal of the caller, who may leave meanwhile: rejects with its reason. */
  async find(key: string, model: string, signal: AbortSignal): Promise<readonly Part[] | undefined> {
    if (this.#isAway) return undefined;
    try {
      const found = await withinTime(this.#store.get(key, model), signal);
      this.#said.delete("away");
      return found;
    } catch (err) {
      signal.throwIfAborted();
      this.#failed(err, "kept answers cannot be read; the model is asked");
      return undefined;
    }
  }

  async keep(answer: KeptAnswer): Promise<void> {
    if (this.#isAway) return;
    try {
      await withinTime(this.#store.set(answer, this.#ttlMs));
      this.stores += 1;
    } catch (err) {
      this.#failed(err, "an answer could not be kept");
    }
  }

  /** Rejects where the store does: whoever asks for it must know that it was not done. */
  purge(model?: string): Promise<number> {
    return this.#store.purge(model);
  }

  get #isAway(): boolean {
    return performance.now() < this.#awayUntil;
  }

  #failed(err: unknown, message: string): void {
    const kind = err instanceof UnreadableAnswer ? "unreadable" : "away";
    this.failures += 1;
    if (kind === "away") this.#awayUntil = performance.now() + REST_MS;
    if (!this.#said.has(kind)) this.#log.warn({ err }, message);
    this.#said.add(kind);
  }
}

/** What is late is forgotten, and its failure with it. */
async function withinTime<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  const done = new AbortController();
  const ends = AbortSignal.any(signal === undefined ? [done.signal] : [done.signal, signal]);
  const late = setTimeout(PATIENCE_MS, undefined, { signal: ends }).then(() => {
    throw new Error(`the store did not answer within ${PATIENCE_MS} ms`);
  });
  late.catch(() => {});
  return Promise.race([work, late]).finally(() => done.abort());
}
