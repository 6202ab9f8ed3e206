import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { type CapstanError, ERROR_TABLE, type TraceSpan, toCapstanError } from "../contracts/index.ts";
import { asCutOff } from "../host/call.ts";
import { traceFields } from "../telemetry/trace-context.ts";
import type { GrpcParts } from "./parts.ts";

/** Longer details would not fit into the 8 KiB of metadata that clients accept by default. */
const MAX_DETAILS = 800;

/** What one failed piece of work is named by, in the log and to its caller. */
export interface Failed {
  readonly requestId: string;
  readonly path: string;
  readonly parts: GrpcParts;
  readonly trace?: TraceSpan | undefined;
  /** Of the answer beside its status. */
  readonly noted?: Readonly<Record<string, string>>;
}

/** An error as its caller may see it. Logs it, too: those of ours as errors. */
export function report(failed: Failed, thrown: unknown): { error: CapstanError; message: string } {
  const error = toCapstanError(thrown);
  const { log } = failed.parts;
  const { trace } = failed;
  trace?.set({ "error.type": error.code });
  const ids = { request_id: failed.requestId, ...traceFields(trace) };
  const fields = { ...ids, route: failed.path, code: error.code };
  if (error.code === "INTERNAL") log.error({ ...fields, err: error.cause ?? error }, error.message);
  else log.debug(fields, error.message);
  const shown = failed.parts.stopping() ? asCutOff(error) : error;
  return { error: shown, message: shownMessage(failed, shown) };
}

/** What broke inside is for the log; a caller gets the id to find it by. */
function shownMessage({ requestId, parts }: Failed, error: CapstanError): string {
  if (error.code !== "INTERNAL" || parts.settings.debug) return error.message;
  return `Internal error; the server's log has it under request id ${requestId}`;
}

/** The status that ends a call. Retryable refusals say when to come back (gRPC's retry push-back, and HTTP's header). */
export function statusOf(failed: Failed, thrown: unknown): StatusObject {
  const { error, message } = report(failed, thrown);
  const metadata = answerMetadata(failed);
  if (error.retryAfterMs !== undefined) {
    metadata.set("grpc-retry-pushback-ms", String(Math.max(0, Math.ceil(error.retryAfterMs))));
    metadata.set("retry-after", String(Math.max(0, Math.ceil(error.retryAfterMs / 1000))));
  }
  return { code: ERROR_TABLE[error.code].grpc, details: fitting(message), metadata };
}

/** grpc-js percent-encodes the details and throws on half a surrogate pair. */
function fitting(message: string): string {
  const cut = message.length > MAX_DETAILS ? `${message.slice(0, MAX_DETAILS)}...` : message;
  return cut.toWellFormed();
}

/** What every answer of one request is sent with. */
export function answerMetadata({ requestId, noted = {} }: Pick<Failed, "requestId" | "noted">): Metadata {
  const metadata = requestIdMetadata(requestId);
  for (const name in noted) metadata.set(name, noted[name]!);
  return metadata;
}

export function requestIdMetadata(requestId: string): Metadata {
  const metadata = new Metadata();
  metadata.set("x-request-id", requestId);
  return metadata;
}
