/** What may stand at a span, under the names of OpenTelemetry's semantic conventions. Never texts of users. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | string[] | undefined>>;

/** A piece of work in a trace that goes through several servers (W3C Trace Context). */
export interface TraceSpan {
  /** Whether anybody will see what is noted here. */
  readonly recording: boolean;
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** Headers or metadata for another server: `traceparent`, and `tracestate` where there is one. */
  readonly headers: Readonly<Record<string, string>>;
  /** Begins a piece of this work; `client`: a request to another server, which gets the headers of the new span. */
  begin(name: string, kind: "client" | "internal", attributes?: SpanAttributes): TraceSpan;
  set(attributes: SpanAttributes): void;
  event(name: string, attributes?: SpanAttributes): void;
  /** Only the first call counts. `failure` is why it came to no good end. */
  end(failure?: unknown): void;
}
