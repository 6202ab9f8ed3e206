import { type Call, CapstanError, type Log, type Principal } from "../contracts/index.ts";

export interface CallOptions {
  readonly requestId: string;
  readonly log: Log;
  /** Deadlines in milliseconds from now, from wherever the caller gave one: the shortest counts. */
  readonly timeouts?: readonly (number | undefined)[];
  readonly priority?: number;
  readonly principal?: Principal;
}

/** A {@link Call} and the two ends it can come to. */
export interface CallScope extends Call {
  /** The caller does not want the answer any more. */
  cancel(reason: string): void;
  /** The work is done: timers are cleared. */
  end(): void;
}

/** Longest delay a timer takes (2^31 - 1 ms); a longer deadline is none. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Opens the circumstances of one request, the same way for every transport. */
export function openCall(options: CallOptions): CallScope {
  return new RequestCall(options);
}

/**
 * Throws the call's reason when nobody waits for it any more. A native run holds up the timer that would
 * abort the signal, so the deadline is compared as well.
 */
export function throwIfOver(call: Call): void {
  call.signal.throwIfAborted();
  if (call.deadline !== undefined && Date.now() > call.deadline) {
    throw new CapstanError("DEADLINE_EXCEEDED", "The request's deadline passed");
  }
}

class RequestCall implements CallScope {
  readonly requestId: string;
  readonly log: Log;
  readonly priority: number | undefined;
  readonly principal: Principal | undefined;
  readonly deadline: number | undefined;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(options: CallOptions) {
    this.requestId = options.requestId;
    this.log = options.log;
    this.priority = options.priority;
    this.principal = options.principal;
    const timeoutMs = shortest(options.timeouts);
    if (timeoutMs !== undefined) {
      this.deadline = Date.now() + timeoutMs;
      this.#timer = setTimeout(() => this.#controller.abort(deadlineExceeded(timeoutMs)), timeoutMs);
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  cancel(reason: string): void {
    clearTimeout(this.#timer);
    this.#controller.abort(new CapstanError("CANCELLED", reason));
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

function shortest(timeouts: CallOptions["timeouts"] = []): number | undefined {
  let least: number | undefined;
  for (const timeout of timeouts) {
    if (timeout !== undefined && timeout <= LONGEST_TIMER_MS && timeout < (least ?? Infinity))
      least = timeout;
  }
  return least;
}

function deadlineExceeded(timeoutMs: number): CapstanError {
  return new CapstanError("DEADLINE_EXCEEDED", `The request's deadline of ${timeoutMs} ms passed`);
}
