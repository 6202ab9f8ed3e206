import { type Call, CapstanError } from "../../src/contracts/index.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly status: number;
  /** Undefined where it is no JSON object. */
  readonly json: Json | undefined;
  readonly headers: Headers;
  /** The address without its query, which may be a signature. */
  readonly where: string;
}

/** One exchange of JSON. Redirects are not followed: they would take credentials with them. */
export async function send(
  url: URL,
  init: RequestInit,
  timeoutMs: number,
  { signal }: Call,
): Promise<Answer> {
  signal.throwIfAborted();
  const where = `${url.origin}${url.pathname}`;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      ...init,
      redirect: "manual",
      signal: AbortSignal.any([signal, timeout]),
    });
    return { status: response.status, json: parse(await response.text()), headers: response.headers, where };
  } catch (cause) {
    signal.throwIfAborted();
    throw upstream(
      `Cannot ask ${where}: ${timeout.aborted ? "no answer in time (timeout)" : reasonOf(cause)}`,
      cause,
    );
  }
}

export const upstream = (message: string, cause?: unknown): CapstanError =>
  new CapstanError("UPSTREAM", message, { cause });

export const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The records in a list, whatever else is in it. */
export const recordsIn = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isRecord) : []);

export const textIn = (value: unknown): string => (typeof value === "string" ? value : "");

function parse(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function reasonOf(cause: unknown): string {
  const { message, cause: inner } = cause as Error;
  return inner instanceof Error ? inner.message || String((inner as NodeJS.ErrnoException).code) : message;
}
