import type { SpanAttributes, TraceSpan } from "../contracts/index.ts";

/** A request to this server. */
export interface ServedRequest {
  readonly name: string;
  readonly header: (name: string) => string | undefined;
  readonly attributes: SpanAttributes;
}

/** Spans of requests and of loads, for a collector. Disposing it sends what is left. */
export interface Tracing extends AsyncDisposable {
  serve(request: ServedRequest): TraceSpan;
  /** Work that nobody asked for in a request: a trace of its own. */
  begin(name: string, attributes: SpanAttributes): TraceSpan;
}
