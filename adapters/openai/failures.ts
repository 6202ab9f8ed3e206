import { CapstanError, type ErrorCode, type ErrorDetails } from "../../src/contracts/index.ts";
import { isRecord, type JsonRecord, parseJson, recordOf } from "./json.ts";

/** What a failure means for the request and for the address it came from. */
interface Verdict {
  /** Asking again may help. */
  readonly retry: boolean;
  /** The circuit breaker counts it. */
  readonly unhealthy: boolean;
}

const FINAL: Verdict = { retry: false, unhealthy: false };
const BUSY: Verdict = { retry: true, unhealthy: false };
const DOWN: Verdict = { retry: true, unhealthy: true };
const BAD: Verdict = { retry: false, unhealthy: true };

/** A fault of an upstream, or one that it reports. */
export class UpstreamFault extends CapstanError {
  readonly retry: boolean;
  readonly unhealthy: boolean;

  constructor(code: ErrorCode, message: string, verdict: Verdict, details: ErrorDetails = {}) {
    super(code, message, details);
    this.retry = verdict.retry;
    this.unhealthy = verdict.unhealthy;
  }
}

/** What an upstream's status means for our caller; whatever is not here is UPSTREAM. */
const BY_STATUS: Readonly<Record<number, readonly [ErrorCode, Verdict]>> = {
  400: ["INVALID_ARGUMENT", FINAL],
  401: ["UPSTREAM", FINAL],
  403: ["UPSTREAM", FINAL],
  404: ["NOT_FOUND", FINAL],
  405: ["UNSUPPORTED", FINAL],
  408: ["DEADLINE_EXCEEDED", DOWN],
  409: ["UPSTREAM", BUSY],
  413: ["TOO_LARGE", FINAL],
  422: ["INVALID_ARGUMENT", FINAL],
  429: ["RATE_LIMITED", BUSY],
  501: ["UNSUPPORTED", FINAL],
  504: ["DEADLINE_EXCEEDED", DOWN],
};

/** `error.type` or `error.code` of an error that came without a status, inside a stream. */
const BY_TYPE: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  badrequesterror: 400,
  context_length_exceeded: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  notfounderror: 404,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  timeout: 504,
};

/** Makes the errors of one address. No message holds a secret, also where the upstream repeats one. */
export class Faults {
  readonly #where: string;
  readonly #secrets: readonly string[];

  constructor(model: string, label: string, secrets: readonly string[]) {
    this.#where = `Model '${model}': upstream ${label}`;
    this.#secrets = secrets;
  }

  /** For an answer that is not a success. `body` is its beginning. */
  status(status: number, body: string, retryAfterMs?: number): UpstreamFault {
    return this.#answered(status, recordOf(parseJson(body)), body, retryAfterMs);
  }

  /** For an error in an answer that began as a success. */
  reported(reply: JsonRecord): UpstreamFault {
    return this.#answered(statusIn(reply), reply, "");
  }

  unreachable(cause: Error): UpstreamFault {
    const late = codeOf(cause) === "UND_ERR_CONNECT_TIMEOUT";
    const code = late ? "DEADLINE_EXCEEDED" : "UPSTREAM";
    return this.#fault(code, `cannot be reached: ${reasonOf(cause)}`, DOWN, { cause });
  }

  broken(cause: Error): UpstreamFault {
    const text = `broke the connection before its answer was complete: ${reasonOf(cause)}`;
    return this.#fault("UPSTREAM", text, DOWN, { cause });
  }

  late(what: string, milliseconds: number, option: string): UpstreamFault {
    const text = `sent no ${what} within ${milliseconds} ms; raise ${option} if it needs longer`;
    return this.#fault("DEADLINE_EXCEEDED", text, BAD);
  }

  /** For an answer that is not what the API says. */
  bad(why: string): UpstreamFault {
    return this.#fault("UPSTREAM", `sent an answer that cannot be used: ${why}`, BAD);
  }

  unloaded(): UpstreamFault {
    return this.#fault("NOT_READY", "is not used any more: the model was unloaded; ask again", FINAL);
  }

  /** Whether an error is one of these, and not the end of the call. */
  made(error: unknown): boolean {
    return error instanceof UpstreamFault;
  }

  #answered(status: number, reply: JsonRecord, raw: string, retryAfterMs?: number): UpstreamFault {
    const rest: Verdict = status >= 500 ? DOWN : FINAL;
    const [code, verdict] = BY_STATUS[status] ?? ["UPSTREAM", rest];
    const error = recordOf(reply.error);
    const spent = error.code === "insufficient_quota" || error.type === "insufficient_quota";
    const param = typeof error.param === "string" ? error.param : undefined;
    const text = `answered ${status}: ${this.#explain(status, reply, raw)}`;
    return this.#fault(code, text, spent ? FINAL : verdict, { retryAfterMs, param });
  }

  /** What an upstream says about a refused key may repeat parts of the key. */
  #explain(status: number, reply: JsonRecord, raw: string): string {
    if (status === 401 || status === 403) {
      return "it refused this server's credentials; check api_key or headers of the model";
    }
    return messageIn(reply) ?? rawText(raw);
  }

  #fault(code: ErrorCode, text: string, verdict: Verdict, details?: ErrorDetails): UpstreamFault {
    let message = tidy(text);
    for (const secret of this.#secrets) message = message.replaceAll(secret, "***");
    return new UpstreamFault(code, `${this.#where} ${message}`, verdict, details);
  }
}

function statusIn(reply: JsonRecord): number {
  const error = isRecord(reply.error) ? reply.error : reply;
  for (const value of [error.code, error.status, error.type]) {
    const status = Number(BY_TYPE[String(value).toLowerCase()] ?? value);
    if (status >= 400 && status < 600) return status;
  }
  return 500;
}

/** OpenAI: `error.message`; older vLLM: `message`; others: `error`; FastAPI: `detail`. */
function messageIn(reply: JsonRecord): string | undefined {
  const { error, message, detail } = reply;
  for (const text of [recordOf(error).message, error, message, detail]) {
    if (typeof text === "string" && text !== "") return text;
  }
  return Array.isArray(detail) ? detail.map(faultIn).join("; ") : undefined;
}

/** One fault of a FastAPI answer; its `input` repeats the caller's data and is left out. */
function faultIn(fault: unknown): string {
  const { loc, msg } = recordOf(fault);
  return `${Array.isArray(loc) ? loc.join(".") : "body"}: ${String(msg)}`;
}

function rawText(raw: string): string {
  if (raw.trim() === "") return "no message";
  return /^\s*[<{[]/.test(raw) ? "a page that is not an OpenAI error" : raw;
}

/** Node gathers the failures of several addresses of one name in an error without a message. */
function reasonOf(error: Error): string {
  return error.message || codeOf(error) || error.name;
}

export function codeOf(error: Error): string {
  return String((error as Error & { readonly code?: unknown }).code ?? "");
}

const LONGEST_TEXT = 1000;

/** An upstream's words on one line and of bounded length. */
function tidy(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT)}...` : line;
}
