import { CapstanError, ERROR_TABLE, type ErrorCode, type ErrorDetails } from "../../src/contracts/index.ts";

/** A request that the model did not run: nothing was sent, or the backend said it is not ready. */
export class NotExecuted extends CapstanError {
  /** Nothing answered at the address at all. */
  readonly unreachable: boolean;

  constructor(message: string, { unreachable, cause }: { unreachable: boolean; cause?: unknown }) {
    super("UPSTREAM", message, { cause });
    this.unreachable = unreachable;
  }
}

/** What an upstream's HTTP status means for our caller; whatever is not here is UPSTREAM. */
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: "INVALID_ARGUMENT",
  404: "NOT_FOUND",
  405: "UNSUPPORTED",
  408: "DEADLINE_EXCEEDED",
  413: "TOO_LARGE",
  // What FastAPI servers, MLServer among them, call a body that does not fit their schema.
  422: "INVALID_ARGUMENT",
  429: "RATE_LIMITED",
  501: "UNSUPPORTED",
  504: "DEADLINE_EXCEEDED",
};

const UNAVAILABLE = { http: 503, grpc: 14 };

/** The error for an answer that is not a success. */
export function httpFailure(
  where: string,
  status: number,
  upstream: string,
  details: ErrorDetails,
): CapstanError {
  const message = `${where} answered ${status}: ${upstream}`;
  if (status === UNAVAILABLE.http) return new NotExecuted(message, { unreachable: false });
  const key = status === 401 || status === 403 ? "; check the credentials in `headers`" : "";
  return new CapstanError(BY_STATUS[status] ?? "UPSTREAM", message + key, details);
}

/** What an upstream's gRPC status means for our caller; whatever is not here is UPSTREAM. */
const BY_GRPC: Readonly<Record<number, readonly [name: string, code: ErrorCode]>> = {
  1: ["CANCELLED", "UPSTREAM"],
  3: ["INVALID_ARGUMENT", "INVALID_ARGUMENT"],
  4: ["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"],
  5: ["NOT_FOUND", "NOT_FOUND"],
  7: ["PERMISSION_DENIED", "UPSTREAM"],
  8: ["RESOURCE_EXHAUSTED", "RATE_LIMITED"],
  12: ["UNIMPLEMENTED", "UNSUPPORTED"],
  13: ["INTERNAL", "UPSTREAM"],
  14: ["UNAVAILABLE", "UPSTREAM"],
  16: ["UNAUTHENTICATED", "UPSTREAM"],
};

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  /** Whether the other server had begun to answer, or answered with nothing but this status. */
  readonly progress: "none" | "begun" | "refused";
}

/** What grpc-js itself says when it does not lose the connection: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED. */
const OWN: ReadonlySet<number> = new Set([4, 8]);

/**
 * The error for a gRPC status that is not OK. UNAVAILABLE is also what grpc-js calls a lost connection: only
 * a server that answers nothing else has said that it did not run the model.
 */
export function grpcFailure(where: string, { code, details, progress }: GrpcStatus): CapstanError {
  if (progress === "none" && !OWN.has(code)) return broken(where, details);
  const [name, ours] = BY_GRPC[code] ?? [`status ${code}`, "UPSTREAM"];
  const message = `${where} answered ${name}: ${tidy(details)}`;
  if (/larger than max/i.test(details)) return new CapstanError("TOO_LARGE", `${message}; ${LIMIT}`);
  if (code === UNAVAILABLE.grpc && progress === "refused") {
    return new NotExecuted(message, { unreachable: false });
  }
  const key = code === 7 || code === 16 ? "; check the credentials in `headers`" : "";
  return new CapstanError(ours, message + key);
}

const LIMIT = "raise max_message_bytes here, or the other server's own limit";

/** The error for a message larger than this side reads. */
export function tooLarge(where: string, limit: number): CapstanError {
  return new CapstanError(
    "UPSTREAM",
    `${where} sent a message of more than ${limit} bytes; raise max_message_bytes`,
  );
}

/** A connection that failed before a request could be written to it. */
export function unreachable(where: string, why: string, cause?: unknown): NotExecuted {
  return new NotExecuted(`${where} cannot be reached: ${tidy(why)}`, { unreachable: true, cause });
}

/** A connection that failed while the model may have been at work: sending again could run it twice. */
export function broken(where: string, why: string, cause?: unknown): CapstanError {
  const message = `${where} broke the connection before it answered: ${tidy(why)}`;
  return new CapstanError("UPSTREAM", message, { cause });
}

/** The error for an answer that is not what the protocol says. */
export function badAnswer(where: string, why: string, cause?: unknown): CapstanError {
  return new CapstanError("UPSTREAM", `${where} sent an answer that is not V2: ${why}`, { cause });
}

/** The text of an error inside a stream: `CODE: message` between servers of this kind, else only a message. */
export function streamFailure(where: string, text: string): CapstanError {
  const [, code = ""] = /^([A-Z_]+): /.exec(text) ?? [];
  const message = `${where} answered: ${tidy(text)}`;
  if (!Object.hasOwn(ERROR_TABLE, code)) return new CapstanError("UPSTREAM", message);
  const [, ours] = BY_GRPC[ERROR_TABLE[code as ErrorCode].grpc] ?? ["", "UPSTREAM"];
  return new CapstanError(ours, message);
}

const LONGEST_TEXT = 1000;

/** An upstream's words on one line and of bounded length. */
export function tidy(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT)}...` : line;
}
