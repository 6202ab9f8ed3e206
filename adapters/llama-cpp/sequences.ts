import type { LlamaContext, LlamaContextSequence, Token } from "node-llama-cpp";
import { CapstanError } from "../../src/contracts/index.ts";
import { abortable } from "./abortable.ts";

interface Waiter {
  readonly tokens: readonly Token[];
  grant(sequence: LlamaContextSequence): void;
}

/** A sequence that would lose more of its tokens holds another conversation, which may go on. */
const MIN_KEPT = 0.5;

/**
 * The sequences of one context. They are decoded together, a step of all at once; an idle one keeps the tokens
 * of its last conversation, so that the next turn reads only what is new.
 */
export class Sequences implements AsyncDisposable {
  readonly #context: LlamaContext;
  /** Least recently used first. */
  readonly #idle: LlamaContextSequence[];
  readonly #waiting: Waiter[] = [];
  readonly #running = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  readonly #name: string;

  constructor(name: string, context: LlamaContext) {
    this.#name = name;
    this.#context = context;
    this.#idle = Array.from({ length: context.totalSequences }, () => context.getSequence());
  }

  /** Aborts when the model goes. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Tokens that one sequence holds. */
  get contextSize(): number {
    return this.#context.contextSize;
  }

  get batchSize(): number {
    return this.#context.batchSize;
  }

  /** The idle sequence that knows most of these tokens; waits its turn when none is idle. */
  async acquire(tokens: readonly Token[], signal: AbortSignal): Promise<LlamaContextSequence> {
    signal.throwIfAborted();
    const sequence = this.#takeBest(tokens);
    if (sequence !== undefined) return sequence;
    const { promise, resolve } = Promise.withResolvers<LlamaContextSequence>();
    const waiter: Waiter = { tokens, grant: resolve };
    this.#waiting.push(waiter);
    try {
      return await abortable(promise, signal);
    } catch (reason) {
      this.#giveUp(waiter, promise);
      throw reason;
    }
  }

  /** Native work cannot be interrupted: `run` leaves it when the signal aborts, and disposal waits for it. */
  run<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    this.#running.add(work);
    const done = (): boolean => this.#running.delete(work);
    work.then(done, done);
    return abortable(work, signal);
  }

  /** Hands the sequence to whoever waits longest. */
  release(sequence: LlamaContextSequence): void {
    this.#idle.push(sequence);
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) waiter.grant(this.#takeBest(waiter.tokens)!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const text = `Model '${this.#name}' is being unloaded`;
    this.#closing.abort(new CapstanError("NOT_READY", text));
    await Promise.allSettled(this.#running);
    await this.#context.dispose();
  }

  /** The one that knows most of the tokens, if it keeps most of its own; else the least recently used. */
  #takeBest(tokens: readonly Token[]): LlamaContextSequence | undefined {
    const known = this.#idle.map(({ contextTokens }) => {
      const common = commonPrefix(contextTokens, tokens);
      return common >= contextTokens.length * MIN_KEPT ? common : 0;
    });
    const best = Math.max(0, known.indexOf(Math.max(...known)));
    return this.#idle.splice(best, 1)[0];
  }

  /** A sequence may be granted in the very moment that the waiter is aborted. */
  #giveUp(waiter: Waiter, granted: Promise<LlamaContextSequence>): void {
    const index = this.#waiting.indexOf(waiter);
    if (index === -1) void granted.then((sequence) => this.release(sequence));
    else this.#waiting.splice(index, 1);
  }
}

/** How many tokens both begin with. */
export function commonPrefix(a: readonly Token[], b: readonly Token[]): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return length;
}
