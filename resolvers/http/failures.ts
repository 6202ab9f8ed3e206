import { CapstanError, invalid } from "../../src/contracts/index.ts";
import { PrivateAddressError } from "./addresses.ts";
import { label } from "./source.ts";

/** What to check, by status. */
const ADVICE: Readonly<Record<number, string>> = {
  401: "Check token and headers in parameters.extra.source",
  403: "Check that token and headers in parameters.extra.source may read it, and that a signed address has not expired",
  407: "The proxy wants a login",
  429: "It gets too many requests: poll less often",
};

export const upstream = (message: string, cause?: unknown): CapstanError =>
  new CapstanError("UPSTREAM", message, { cause });

/** An answer that is no success, as what it means. */
export function statusFailure(url: URL, status: number): CapstanError {
  const what = `${label(url)} answered ${status}`;
  if (status === 404 || status === 410)
    return new CapstanError("NOT_FOUND", `${what}: there is no such file`);
  const advice = ADVICE[status] ?? (status >= 500 ? "The server there has a fault" : undefined);
  return upstream(advice === undefined ? what : `${what}. ${advice}`);
}

/** An exchange that failed before its end. `redirected`: the address is not the one in the settings. */
export function networkFailure(url: URL, cause: unknown, redirected: boolean): CapstanError {
  const blocked = privateIn(cause);
  if (blocked !== undefined) return privateFailure(url, blocked, redirected);
  return upstream(`Cannot read ${label(url)}: ${reasonOf(cause)}`, cause);
}

function privateFailure(url: URL, blocked: Error, redirected: boolean): CapstanError {
  if (redirected) return upstream(`${label(url)}, a redirect, is not followed: ${blocked.message}`, blocked);
  const advice = "If that is meant, set parameters.extra.source.allow_private to true";
  return invalid(`${label(url)} is not asked: ${blocked.message}. ${advice}`, { cause: blocked });
}

function privateIn(cause: unknown): PrivateAddressError | undefined {
  if (cause instanceof PrivateAddressError) return cause;
  const inner = cause instanceof AggregateError ? cause.errors[0] : (cause as Error | undefined)?.cause;
  return inner === undefined ? undefined : privateIn(inner);
}

const REASONS: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: "no connection in time (connect_timeout)",
  UND_ERR_HEADERS_TIMEOUT: "no answer in time (idle_timeout)",
  UND_ERR_BODY_TIMEOUT: "the answer stopped coming (idle_timeout)",
  ENOTFOUND: "there is no host of that name",
  ECONNREFUSED: "nothing listens there",
};

function reasonOf(cause: unknown): string {
  const { code = "", message } = (cause ?? {}) as NodeJS.ErrnoException;
  return REASONS[code] ?? (message || code || String(cause));
}
