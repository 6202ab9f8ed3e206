import type { TraceSpan } from "../contracts/index.ts";

/** `version-traceid-parentid-flags`; a later version may have more (W3C Trace Context, 3.2). */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-[\da-f]{2}(?:-[ -~]*)?$/;
/** What goes on as the value of a header or of a metadata key: printable ASCII, of bounded length. */
const TRACESTATE = /^[ -~]{1,8192}$/;

/** A trace that others record: the context that the caller sent goes on as it came. */
class ForwardedSpan implements TraceSpan {
  readonly recording = false;
  readonly traceId: string;
  readonly spanId: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(traceId: string, spanId: string, headers: Readonly<Record<string, string>>) {
    this.traceId = traceId;
    this.spanId = spanId;
    this.headers = headers;
  }

  begin(): TraceSpan {
    return this;
  }

  set(): void {}

  event(): void {}

  end(): void {}
}

/** The trace a caller's headers name; undefined where there is none, or none that is valid. */
export function forwardedTrace(header: (name: string) => string | undefined): TraceSpan | undefined {
  const traceparent = header("traceparent");
  if (traceparent === undefined) return undefined;
  const [, traceId, spanId] = TRACEPARENT.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  const tracestate = header("tracestate") ?? "";
  const headers = TRACESTATE.test(tracestate) ? { traceparent, tracestate } : { traceparent };
  return new ForwardedSpan(traceId, spanId, headers as Readonly<Record<string, string>>);
}

/** What a line of the log says of its trace, under the names of OpenTelemetry. */
export function traceFields(trace: TraceSpan | undefined): { trace_id?: string; span_id?: string } {
  return trace === undefined ? {} : { trace_id: trace.traceId, span_id: trace.spanId };
}
