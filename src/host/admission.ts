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
  readonly owner: string;
  admit(): void;
  refuse(reason: unknown): void;
}

/** Callers without a priority stand in the middle of 1 (first) and 9. */
const MIDDLE = 5;
/** Callers whose last turn counts; one that is forgotten comes first again. */
const MOST_REMEMBERED = 1000;
/** A queue that is full now has room again soon: when to come back. */
const RETRY_AFTER_MS = 1000;

/**
 * Lets a bounded number of requests in at once, and a bounded number wait: by priority; among those alike the caller of
 * whom the fewest run, and whose last turn is longest ago; then in order of arrival. Nobody fills the queue alone: when it is full, a caller with fewer in
 * it takes the last place of the one with the most. What nobody waits for any more leaves the queue.
 */
export class Admission {
  readonly limits: AdmissionLimits;
  readonly #queue: Waiter[] = [];
  readonly #runningOf = new Map<string, number>();
  /** When whose request was let in last, counted in requests; the longest ago comes first. */
  readonly #servedAt = new Map<string, number>();
  #served = 0;
  #running = 0;

  constructor(limits: AdmissionLimits) {
    this.limits = limits;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Callers whose last turn is remembered. */
  get remembered(): number {
    return this.#servedAt.size;
  }

  /**
   * Resolves when the request may run; the caller gives the place back with {@link leave}.
   * @throws CapstanError QUEUE_FULL at once, DEADLINE_EXCEEDED after `timeout`, or the call's own reason.
   */
  async enter(call: Call): Promise<void> {
    call.signal.throwIfAborted();
    if (this.#running >= this.limits.max_concurrency) return this.#wait(call);
    this.#running += 1;
    this.#serve(ownerOf(call));
  }

  /** The next in the queue takes the place over. */
  leave(call: Call): void {
    this.#count(ownerOf(call), -1);
    const next = this.#next();
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    this.#remove(next);
    this.#serve(next.owner);
    next.admit();
  }

  async #wait(call: Call): Promise<void> {
    const { timeout } = this.limits;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const owner = ownerOf(call);
    this.#makeRoom(owner);
    const waiter: Waiter = { priority: call.priority ?? MIDDLE, owner, admit: resolve, refuse: reject };
    const leave = (reason: unknown) => {
      this.#remove(waiter);
      reject(reason);
    };
    const aborted = () => leave(call.signal.reason);
    const timer = timeout > 0 ? setTimeout(() => leave(waitedTooLong(timeout)), timeout) : undefined;
    call.signal.addEventListener("abort", aborted, { once: true });
    this.#queue.push(waiter);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      call.signal.removeEventListener("abort", aborted);
    }
  }

  #next(): Waiter | undefined {
    let best: Waiter | undefined;
    for (const waiter of this.#queue) {
      if (best === undefined || this.#isBefore(waiter, best)) best = waiter;
    }
    return best;
  }

  #isBefore(one: Waiter, other: Waiter): boolean {
    if (one.priority !== other.priority) return one.priority < other.priority;
    const [running, others] = [this.#runningOf.get(one.owner) ?? 0, this.#runningOf.get(other.owner) ?? 0];
    if (running !== others) return running < others;
    return (this.#servedAt.get(one.owner) ?? 0) < (this.#servedAt.get(other.owner) ?? 0);
  }

  #serve(owner: string): void {
    this.#count(owner, 1);
    this.#servedAt.delete(owner);
    this.#servedAt.set(owner, ++this.#served);
    if (this.#servedAt.size > MOST_REMEMBERED) this.#servedAt.delete(this.#servedAt.keys().next().value!);
  }

  /** @throws CapstanError QUEUE_FULL unless another caller has the queue mostly to itself. */
  #makeRoom(owner: string): void {
    if (this.#queue.length < this.limits.max_queue) return;
    const places = Map.groupBy(this.#queue, (waiter) => waiter.owner);
    const greediest = [...places.values()].sort((a, b) => b.length - a.length)[0] ?? [];
    if (greediest.length <= (places.get(owner)?.length ?? 0) + 1) throw this.#full();
    const last = greediest.at(-1)!;
    this.#remove(last);
    last.refuse(this.#full());
  }

  #full(): CapstanError {
    const { max_queue, max_concurrency } = this.limits;
    const message = `The model is busy: ${max_concurrency} requests run and ${max_queue} wait`;
    return new CapstanError("QUEUE_FULL", message, { retryAfterMs: RETRY_AFTER_MS });
  }

  #remove(waiter: Waiter): void {
    const place = this.#queue.indexOf(waiter);
    if (place >= 0) this.#queue.splice(place, 1);
  }

  #count(owner: string, change: 1 | -1): void {
    const count = (this.#runningOf.get(owner) ?? 0) + change;
    if (count === 0) this.#runningOf.delete(owner);
    else this.#runningOf.set(owner, count);
  }
}

const ownerOf = ({ principal }: Call): string => principal?.id ?? "";

function waitedTooLong(timeout: number): CapstanError {
  return new CapstanError(
    "DEADLINE_EXCEEDED",
    `The request waited ${timeout} ms for the model (admission.timeout)`,
  );
}
