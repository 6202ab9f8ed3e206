import { randomUUID } from "node:crypto";
import {
  type Call,
  type CallRecord,
  CapstanError,
  type Log,
  type Parameters,
  type Principal,
  type TraceSpan,
} from "../contracts/index.ts";
import { forwardedTrace, traceFields } from "../telemetry/trace-context.ts";

export interface CallOptions {
  readonly requestId: string;
  readonly log: Log;
  /** Parameters of a V2 request: `timeout` in microseconds, `priority`. */
  readonly parameters?: Parameters | undefined;
  /** Headers or metadata: `x-request-timeout-ms`, `x-priority`. */
  readonly header?: (name: string) => string | undefined;
  /** The transport's own deadline, in milliseconds from now. */
  readonly timeoutMs?: number | undefined;
  readonly principal?: Principal;
  /** Absent: the trace that the headers name, which goes on to other servers as it came. */
  readonly trace?: TraceSpan | undefined;
}

/** A {@link Call} and the two ends it can come to. */
export interface CallScope extends Call {
  readonly record: CallRecord;
  /** The caller does not want the answer any more. */
  cancel(reason: string): void;
  /** The work is done: timers are cleared. */
  end(): void;
}

/** Longest delay a timer takes (2^31 - 1 ms); a longer deadline is none. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What a caller may name a request; anything else is replaced, so that it can stand in a log. */
const REQUEST_ID = /^[\w.:+/=@-]{1,128}$/;

/** The id a caller gave its request, or a new one. */
export function requestIdOf(given: string | undefined): string {
  return given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
}

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

/** Until a load balancer knows that a server is stopping. */
const ELSEWHERE_MS = 1000;

/** What a server that stops had to cut off can be asked of another one at once, unlike what its caller cancelled. */
export function asCutOff(error: CapstanError): CapstanError {
  if (error.code !== "CANCELLED") return error;
  return new CapstanError("NOT_READY", error.message, { cause: error, retryAfterMs: ELSEWHERE_MS });
}

/** What a plugin reads are own fields: `{ ...call, deadline }` must not lose any of them. */
class RequestCall implements CallScope {
  readonly requestId: string;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly priority: number | undefined;
  readonly principal: Principal | undefined;
  readonly deadline: number | undefined;
  readonly trace: TraceSpan | undefined;
  readonly record: CallRecord = {};
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(options: CallOptions) {
    this.requestId = options.requestId;
    this.signal = this.#controller.signal;
    this.trace = options.trace ?? (options.header && forwardedTrace(options.header));
    this.log = new RequestLog(options.log, options.requestId, this.trace);
    this.priority = positive(options.parameters?.priority) ?? positive(options.header?.("x-priority"));
    this.principal = options.principal;
    const timeoutMs = shortestTimeout(options);
    if (timeoutMs !== undefined) {
      this.deadline = Date.now() + timeoutMs;
      this.#timer = setTimeout(() => this.#controller.abort(deadlineExceeded(timeoutMs)), timeoutMs);
    }
  }

  cancel(reason: string): void {
    clearTimeout(this.#timer);
    this.#controller.abort(new CapstanError("CANCELLED", reason));
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

/** Every line says which request it is of, and which trace. */
class RequestLog implements Log {
  readonly #log: Log;
  readonly #id: string;
  readonly #trace: TraceSpan | undefined;

  constructor(log: Log, id: string, trace: TraceSpan | undefined) {
    this.#log = log;
    this.#id = id;
    this.#trace = trace;
  }

  debug(fields: object, message: string): void {
    this.#log.debug(this.#named(fields), message);
  }

  info(fields: object, message: string): void {
    this.#log.info(this.#named(fields), message);
  }

  warn(fields: object, message: string): void {
    this.#log.warn(this.#named(fields), message);
  }

  error(fields: object, message: string): void {
    this.#log.error(this.#named(fields), message);
  }

  #named(fields: object): object {
    return { request_id: this.#id, ...traceFields(this.#trace), ...fields };
  }
}

/** Of all the deadlines a caller gave, the first to pass counts. */
function shortestTimeout({ parameters, header, timeoutMs }: CallOptions): number | undefined {
  const microseconds = positive(parameters?.timeout);
  const timeouts = [
    timeoutMs,
    microseconds === undefined ? undefined : microseconds / 1000,
    positive(header?.("x-request-timeout-ms")),
  ];
  const held = timeouts.filter((timeout) => timeout !== undefined && timeout <= LONGEST_TIMER_MS) as number[];
  return held.length === 0 ? undefined : Math.min(...held);
}

/** Values that are not numbers count as absent: a proxy may have put anything there. */
function positive(value: unknown): number | undefined {
  const number = value === undefined ? Number.NaN : Number(value);
  return Number.isFinite(number) && number > 0 ? number : undefined;
}

function deadlineExceeded(timeoutMs: number): CapstanError {
  return new CapstanError("DEADLINE_EXCEEDED", `The request's deadline of ${timeoutMs} ms passed`);
}
