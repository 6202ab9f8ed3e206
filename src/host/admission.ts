import { type Call, CapstanError } from "../contracts/index.ts";

export interface AdmissionLimits {
  /** Requests that a model works on at once. */
  readonly max_concurrency: number;
  /** Requests that may wait for their turn; one more is refused at once. */
  readonly max_queue: number;
  /** Longest wait in milliseconds; 0 waits as long as the caller does. */
  readonly timeout: number;
}

interface Waiter {
  readonly priority: number;
  admit(): void;
}

/** Callers without a priority stand in the middle of 1 (first) and 9. */
const MIDDLE = 5;
/** A queue that is full now has room again soon: when to come back. */
const RETRY_AFTER_MS = 1000;

/**
 * Lets a bounded number of requests in at once, and a bounded number wait: by priority, then in order of
 * arrival. What nobody waits for any more leaves the queue.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #queue: Waiter[] = [];
  #running = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Resolves when the request may run; the caller gives the place back with {@link leave}.
   * @throws CapstanError QUEUE_FULL at once, DEADLINE_EXCEEDED after `timeout`, or the call's own reason.
   */
  async enter(call: Call): Promise<void> {
    call.signal.throwIfAborted();
    if (this.#running < this.#limits.max_concurrency) this.#running += 1;
    else await this.#wait(call);
  }

  /** The next in the queue takes the place over. */
  leave(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#running -= 1;
    else next.admit();
  }

  async #wait(call: Call): Promise<void> {
    const { max_queue, max_concurrency, timeout } = this.#limits;
    if (this.#queue.length >= max_queue) {
      const message = `The model is busy: ${max_concurrency} requests run and ${max_queue} wait`;
      throw new CapstanError("QUEUE_FULL", message, { retryAfterMs: RETRY_AFTER_MS });
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { priority: call.priority ?? MIDDLE, admit: resolve };
    const leave = (reason: unknown) => {
      this.#queue.splice(this.#queue.indexOf(waiter), 1);
      reject(reason);
    };
    const aborted = () => leave(call.signal.reason);
    const timer = timeout > 0 ? setTimeout(() => leave(waitedTooLong(timeout)), timeout) : undefined;
    call.signal.addEventListener("abort", aborted, { once: true });
    this.#insert(waiter);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      call.signal.removeEventListener("abort", aborted);
    }
  }

  #insert(waiter: Waiter): void {
    const behind = this.#queue.findIndex(({ priority }) => priority > waiter.priority);
    this.#queue.splice(behind < 0 ? this.#queue.length : behind, 0, waiter);
  }
}

function waitedTooLong(timeout: number): CapstanError {
  return new CapstanError(
    "DEADLINE_EXCEEDED",
    `The request waited ${timeout} ms for the model (admission.timeout)`,
  );
}
