import type { TraceSpan } from "./trace.ts";

/** Structured log of one request or one model; fields never hold secrets. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Who is calling. */
export interface Principal {
  readonly id: string;
  readonly role: string;
  readonly admin: boolean;
}

/**
 * What the host learns of a request while it is answered: headers, logs, quotas and metrics are made of it. Filled in
 * by the host; a plugin leaves it alone.
 */
export interface CallRecord {
  model?: string;
  /** The version that answers; known once the model is chosen. */
  version?: string;
  /** Whether a cache of answers was asked, and had it. */
  cache?: "hit" | "miss";
  inputTokens?: number;
  outputTokens?: number;
  /** `performance.now()` of the first piece of text. */
  firstTokenAt?: number;
  /** For the answer, such as how the caller's limits stand. */
  headers?: Readonly<Record<string, string>>;
  /** How the first choice ended. */
  finish?: string | undefined;
}

/**
 * The circumstances of one piece of work: the last parameter of every asynchronous function.
 * Whoever takes it stops when `signal` aborts, rejects with its reason, and removes its listeners.
 * All of it are own fields: `{ ...call, signal }` is a call with another signal.
 */
export interface Call {
  readonly signal: AbortSignal;
  readonly requestId: string;
  readonly log: Log;
  readonly principal?: Principal;
  /** When the caller stops waiting, in milliseconds since the epoch; `signal` aborts then. */
  readonly deadline?: number;
  /** 1 is served first; absent means the middle. */
  readonly priority?: number;
  /** Nobody reads the answer before it is complete: a model that can make it at once need not give it in pieces. */
  readonly whole?: boolean;
  /** The work that this call is for, in the caller's trace or one of ours; absent where nobody traces. */
  readonly trace?: TraceSpan;
  /** Absent on work inside a request, such as one model's call of another: it is part of the caller's answer. */
  readonly record?: CallRecord;
}
