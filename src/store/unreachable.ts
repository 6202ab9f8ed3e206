/** Of the system and its resolver: nobody listens there, no such host now, no way to it, the connection broke. */
const SYSTEM_CODES: ReadonlySet<unknown> = new Set([
  ...["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT"],
  ...["EHOSTUNREACH", "ENETUNREACH", "ECONNRESET", "EPIPE"],
]);
/** Classes of SQLSTATE (Postgres, appendix A): connection exceptions, and a server that is stopping or starting. */
const POSTGRES_CODES = /^(08|57P0[123])/;
/** What the driver says without a code: a time-out while connecting, a connection that broke. */
const DRIVER_MESSAGES = /^(timeout e|Connection terminated)/;

/** Whether a database could not be asked at all, as opposed to one that answered with an error. */
export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, errors = [] } = error as { readonly code?: unknown; readonly errors?: readonly unknown[] };
  if (SYSTEM_CODES.has(code) || POSTGRES_CODES.test(String(code)) || DRIVER_MESSAGES.test(error.message))
    return true;
  // A name with several addresses fails with an error for each.
  return errors.some(isUnreachable) || isUnreachable(error.cause);
}
