import type { ServiceError } from "@grpc/grpc-js";
import { CapstanError, ERROR_TABLE, type ErrorCode } from "../contracts/index.ts";

/** gRPC statuses in our terms; whatever is not here is UPSTREAM. */
const BY_GRPC: Readonly<Record<number, ErrorCode>> = {
  3: "INVALID_ARGUMENT",
  4: "DEADLINE_EXCEEDED",
  5: "NOT_FOUND",
  7: "PERMISSION_DENIED",
  8: "RATE_LIMITED",
  12: "UNSUPPORTED",
  16: "UNAUTHENTICATED",
};

const UNAVAILABLE = 14;
const LIMIT = "raise grpc_max_message_length here, or the other server's own limit";
const NOT_CONNECTED = "No connection established";

/** The error for a call that ended with a status other than OK. */
export function statusFailure(where: string, error: ServiceError): CapstanError {
  const { code, details, metadata } = error;
  if (details.startsWith(NOT_CONNECTED)) return unreachable(where, lastError(details), error);
  if (/larger than max/i.test(details)) return new CapstanError("TOO_LARGE", `${details}; ${LIMIT}`);
  const pushback = Number(metadata?.get("grpc-retry-pushback-ms")[0] ?? Number.NaN);
  const retryAfterMs = pushback >= 0 ? pushback : undefined;
  // What grpc-js says itself has no metadata of the server's: a connection that broke off is not its refusal.
  const refused = code === UNAVAILABLE && metadata !== undefined && metadata.get("x-request-id").length > 0;
  const ours = refused ? "NOT_READY" : (BY_GRPC[code] ?? "UPSTREAM");
  const message = ours === "UPSTREAM" ? `The server at ${where} failed: ${details}` : details;
  return new CapstanError(ours, message, {
    cause: error,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** The error of one request in a stream: `CODE: message` from servers of this kind, else only a message. */
export function messageFailure(where: string, text: string): CapstanError {
  const [, code = "", message = ""] = /^([A-Z_]+): (.*)$/s.exec(text) ?? [];
  if (Object.hasOwn(ERROR_TABLE, code)) return new CapstanError(code as ErrorCode, message);
  return new CapstanError("UPSTREAM", `The server at ${where} failed: ${text}`);
}

export function unreachable(where: string, why: string, cause?: unknown): CapstanError {
  return new CapstanError("NOT_READY", `The server at ${where} cannot be reached: ${why}`, { cause });
}

/** grpc-js: `No connection established. Last error: Error: connect ... (time). Resolution note: ...`. */
function lastError(details: string): string {
  return /Last error: (?:Error: )?(.*?)(?: \(\d{4}-|\. Resolution note|$)/.exec(details)?.[1] ?? details;
}
