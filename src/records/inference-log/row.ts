import { randomUUID } from "node:crypto";
import { type Call, type CapstanError, toCapstanError } from "../../contracts/index.ts";
import type { InferenceLogTable } from "../../store/tables.ts";
import { KEPT_CHARACTERS, redacted } from "./redact.ts";

/** What is asked, and of which model. */
export interface Described {
  readonly model: string;
  readonly operation: string;
  readonly session?: string | undefined;
  readonly asked?: string | undefined;
}

/** How a piece of work ended. */
export interface Outcome {
  readonly error?: CapstanError | undefined;
  /** Its reader left before the end. */
  readonly left?: boolean;
  readonly answered?: string | undefined;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const LONGEST_NAME = 256;

/**
 * The row of one request. Its body may hold several prompts, whose work shares the request's record: they are one row, which
 * ends with the last of them.
 */
export class RequestRow {
  readonly row: Readonly<InferenceLogTable>;
  readonly #row: Writable<InferenceLogTable>;
  readonly #call: Call;
  readonly #started = performance.now();

  constructor({ model, operation, session }: Described, call: Call) {
    const at = Date.now();
    this.#call = call;
    this.#row = this.row = {
      id: idAt(at),
      at,
      request_id: call.requestId,
      trace_id: call.trace?.traceId ?? null,
      key_id: call.principal?.id ?? null,
      model: named(model),
      version: null,
      session: session === undefined ? null : named(session),
      operation,
      input_tokens: null,
      output_tokens: null,
      latency_ms: 0,
      first_token_ms: null,
      status: "ok",
      finish: null,
      cached: 0,
      error_code: null,
      request_body: null,
      response_body: null,
    };
  }

  /** A piece of the work is over. */
  ended(asked: string | undefined, { error, left = false, answered }: Outcome): void {
    const { record = {}, signal } = this.#call;
    const row = this.#row;
    row.version = record.version ?? null;
    row.input_tokens = countOf(record.inputTokens);
    row.output_tokens = countOf(record.outputTokens);
    row.latency_ms = performance.now() - this.#started;
    row.first_token_ms = record.firstTokenAt === undefined ? null : record.firstTokenAt - this.#started;
    row.finish = record.finish ?? null;
    this.#note(left && signal.aborted ? toCapstanError(signal.reason) : error, left);
    row.cached = record.cache === "hit" && row.status === "ok" ? 1 : 0;
    if (asked !== undefined) row.request_body = joined(row.request_body, asked);
    if (answered !== undefined) row.response_body = joined(row.response_body, answered);
  }

  /** Of several pieces, the first that did not end well says how the request ended. */
  #note(error: CapstanError | undefined, left: boolean): void {
    if (this.#row.status !== "ok" || (error === undefined && !left)) return;
    const isCancelled = error === undefined || error.code === "CANCELLED";
    this.#row.status = isCancelled ? "cancelled" : "error";
    this.#row.error_code = error?.code ?? "CANCELLED";
  }
}

/** A UUID of version 7 (RFC 9562): rows that are written together stand together in the index. */
function idAt(time: number): string {
  const digits = time.toString(16).padStart(12, "0");
  return `${digits.slice(0, 8)}-${digits.slice(8)}-7${randomUUID().slice(15)}`;
}

/** When a row was begun, in milliseconds since the epoch: the start of its id. */
export function timeOf(id: string): number {
  return Number.parseInt(id.replace("-", "").slice(0, 12), 16);
}

const SELDOM = /[\0\ud800-\udfff]/;

/** What a caller or an upstream gave, as every database takes it: Postgres stores no NUL and no half characters. */
const stored = (text: string) => (SELDOM.test(text) ? text.toWellFormed().replaceAll("\0", "") : text);

const named = (text: string) => stored(text.slice(0, LONGEST_NAME));

function joined(before: string | null, text: string): string {
  const body = stored(redacted(text));
  return before === null ? body : `${before}\n${body}`.slice(0, KEPT_CHARACTERS);
}

const countOf = (tokens: number | undefined) =>
  tokens === undefined || !Number.isFinite(tokens) ? null : Math.round(tokens);
