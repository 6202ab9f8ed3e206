/**
 * One error class and one table: every fault the server reports is a {@link CapstanError}, and each
 * transport reads its number from {@link ERROR_TABLE}. Sources: V2 REST error rules, gRPC status codes,
 * OpenAI error types.
 */

interface ErrorRow {
  /** HTTP status. */
  readonly http: number;
  /** gRPC status code number. */
  readonly grpc: number;
  /** `error.type` of an OpenAI error object. */
  readonly openai: string;
}

export const ERROR_TABLE = {
  INVALID_ARGUMENT: { http: 400, grpc: 3, openai: "invalid_request_error" },
  UNAUTHENTICATED: { http: 401, grpc: 16, openai: "authentication_error" },
  PERMISSION_DENIED: { http: 403, grpc: 7, openai: "permission_error" },
  NOT_FOUND: { http: 404, grpc: 5, openai: "not_found_error" },
  METHOD_NOT_ALLOWED: { http: 405, grpc: 12, openai: "invalid_request_error" },
  TOO_LARGE: { http: 413, grpc: 8, openai: "invalid_request_error" },
  UNSUPPORTED_MEDIA: { http: 415, grpc: 3, openai: "invalid_request_error" },
  RATE_LIMITED: { http: 429, grpc: 8, openai: "rate_limit_error" },
  QUOTA_EXCEEDED: { http: 429, grpc: 8, openai: "insufficient_quota" },
  QUEUE_FULL: { http: 429, grpc: 8, openai: "rate_limit_error" },
  CANCELLED: { http: 499, grpc: 1, openai: "cancelled" },
  INTERNAL: { http: 500, grpc: 13, openai: "server_error" },
  UNSUPPORTED: { http: 501, grpc: 12, openai: "invalid_request_error" },
  UPSTREAM: { http: 502, grpc: 14, openai: "server_error" },
  NOT_READY: { http: 503, grpc: 14, openai: "server_error" },
  LOAD_FAILED: { http: 503, grpc: 14, openai: "server_error" },
  DEADLINE_EXCEEDED: { http: 504, grpc: 4, openai: "timeout" },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERROR_TABLE;

export interface ErrorDetails {
  readonly cause?: unknown;
  /** For RATE_LIMITED, QUOTA_EXCEEDED and QUEUE_FULL: when to come back, in milliseconds. */
  readonly retryAfterMs?: number;
  /** The request field at fault, as OpenAI's `error.param`. */
  readonly param?: string;
}

/** Symbol.for, so that a plugin which brought its own copy of this package is still understood. */
const BRAND = Symbol.for("capstan.error");

/** What went wrong, where, and what to do about it: the message is shown to the caller as it is. */
export class CapstanError extends Error {
  override readonly name = "CapstanError";
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;
  readonly param: string | undefined;
  readonly [BRAND] = true;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.retryAfterMs = details.retryAfterMs;
    this.param = details.param;
  }
}

export function isCapstanError(value: unknown): value is CapstanError {
  return value instanceof Error && BRAND in value;
}

/**
 * Any thrown value as a CapstanError. Aborts keep their meaning (AbortError -> CANCELLED, TimeoutError ->
 * DEADLINE_EXCEEDED); everything unknown is INTERNAL with the original kept as `cause`.
 */
export function toCapstanError(thrown: unknown): CapstanError {
  if (isCapstanError(thrown)) return thrown;
  const name = thrown instanceof Error ? thrown.name : "";
  if (name === "AbortError")
    return new CapstanError("CANCELLED", "The request was cancelled", { cause: thrown });
  if (name === "TimeoutError") {
    return new CapstanError("DEADLINE_EXCEEDED", "The request's deadline passed", { cause: thrown });
  }
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new CapstanError("INTERNAL", text || "Unknown failure", { cause: thrown });
}

/** Shorthand for the fault that is the caller's: `throw invalid("Input 'X': ...")`. */
export function invalid(message: string, details?: ErrorDetails): CapstanError {
  return new CapstanError("INVALID_ARGUMENT", message, details);
}
