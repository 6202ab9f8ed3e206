import { randomUUID } from "node:crypto";
import type { Call, CapstanError } from "../../contracts/index.ts";
import type { InferenceLogTable } from "../../store/tables.ts";
import { redacted } from "./redact.ts";

/** What came of a request. */
export interface Outcome {
  readonly model: string;
  readonly operation: string;
  readonly session?: string | undefined;
  readonly startedAt: number;
  /** `performance.now()` at the start. */
  readonly started: number;
  readonly error?: CapstanError | undefined;
  /** Its reader left before the end. */
  readonly left?: boolean;
  readonly asked?: string | undefined;
  readonly answered?: string | undefined;
}

/** A row of the inference log. */
export function rowOf(outcome: Outcome, { requestId, principal, record = {} }: Call): InferenceLogTable {
  const { error, started } = outcome;
  const cancelled = outcome.left || error?.code === "CANCELLED";
  return {
    id: randomUUID(),
    at: outcome.startedAt,
    request_id: requestId,
    trace_id: null,
    key_id: principal?.id ?? null,
    model: outcome.model,
    version: record.version ?? null,
    session: outcome.session ?? null,
    operation: outcome.operation,
    input_tokens: record.inputTokens ?? null,
    output_tokens: record.outputTokens ?? null,
    latency_ms: performance.now() - started,
    first_token_ms: record.firstTokenAt === undefined ? null : record.firstTokenAt - started,
    status: cancelled ? "cancelled" : error === undefined ? "ok" : "error",
    finish: record.finish ?? null,
    cached: record.cache === "hit" ? 1 : 0,
    error_code: error?.code ?? null,
    request_body: outcome.asked === undefined ? null : redacted(outcome.asked),
    response_body: outcome.answered === undefined ? null : redacted(outcome.answered),
  };
}
