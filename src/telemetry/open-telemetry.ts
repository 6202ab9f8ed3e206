import {
  type Context,
  context,
  type DiagLogger,
  DiagLogLevel,
  diag,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { NodeSDK } from "@opentelemetry/sdk-node";
import {
  type ErrorCode,
  type Log,
  type SpanAttributes,
  type TraceSpan,
  toCapstanError,
} from "../contracts/index.ts";
import type { ServedRequest, Tracing } from "./tracing.ts";

const NAME = "capstan";
/** A collector that does not answer holds the end of the process up for no longer. */
const FLUSH_MS = 3000;
const DETECTORS = "env,host,serviceinstance";

/**
 * Starts OpenTelemetry's SDK, which reads the environment of the process.
 * @param variables those named `OTEL_*`, also of a `.env` file and of settings.
 */
export function startOpenTelemetry(variables: Readonly<Record<string, string>>, log: Log): Tracing {
  Object.assign(process.env, { ...defaultsOf(variables), ...variables });
  const diagnostics = new Diagnostics(log);
  diag.setLogger(diagnostics, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const sdk = new NodeSDK({ metricReaders: [], logRecordProcessors: [] });
  sdk.start();
  diagnostics.started();
  const tracer = trace.getTracer(NAME);
  return {
    serve: (request) => serverSpan(tracer, request),
    begin: (name, attributes) =>
      new RecordedSpan(tracer, tracer.startSpan(name, { attributes }, ROOT_CONTEXT), ROOT_CONTEXT),
    async [Symbol.asyncDispose]() {
      const sent = sdk.shutdown().catch((error: unknown) => diagnostics.warn(String(error)));
      await within(FLUSH_MS, sent);
      for (const api of [trace, propagation, context, diag]) api.disable();
    },
  };
}

/**
 * Ours where the environment says nothing. The SDK's own would send the command line, and try for ten seconds to reach
 * a collector after the server has stopped.
 */
function defaultsOf(variables: Readonly<Record<string, string>>) {
  const named = /(^|,)\s*service\.name\s*=/.test(variables.OTEL_RESOURCE_ATTRIBUTES ?? "");
  return {
    ...(named ? {} : { OTEL_SERVICE_NAME: NAME }),
    OTEL_NODE_RESOURCE_DETECTORS: DETECTORS,
    OTEL_EXPORTER_OTLP_TIMEOUT: String(FLUSH_MS),
  };
}

/**
 * What the SDK complains of. While it starts, each is a mistake in its variables; later a collector that is away fails
 * every few seconds, and one line says so: those after it are for who debugs.
 */
class Diagnostics implements DiagLogger {
  readonly #log: Log;
  #started = false;
  #warned = false;

  constructor(log: Log) {
    this.#log = log;
  }

  started(): void {
    this.#started = true;
  }

  error(text: string): void {
    this.warn(text);
  }

  warn(text: string): void {
    const level = this.#started && this.#warned ? "debug" : "warn";
    this.#warned = this.#started;
    this.#log[level]({ reason: reasonIn(text) }, "Traces may be lost; requests are not affected");
  }

  info(): void {}

  debug(): void {}

  verbose(): void {}
}

/** The SDK gives its errors as JSON, stack and all. */
function reasonIn(text: string): string {
  try {
    const { message, name } = JSON.parse(text) as { readonly message?: string; readonly name?: string };
    return message || name || text;
  } catch {
    return text;
  }
}

async function within(milliseconds: number, work: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  await Promise.race([work, promise]);
  clearTimeout(timer);
}

const getter = {
  get: ({ header }: Pick<ServedRequest, "header">, name: string) => header(name),
  keys: () => [],
};

function serverSpan(tracer: Tracer, request: ServedRequest): TraceSpan {
  const parent = propagation.extract(ROOT_CONTEXT, request, getter);
  const { name, attributes } = request;
  return new RecordedSpan(
    tracer,
    tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent),
    parent,
  );
}

const KINDS = { client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };

/** The context is handed on with the call, and not through AsyncLocalStorage: that would cost every request. */
class RecordedSpan implements TraceSpan {
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #context: Context;
  #headers: Record<string, string> | undefined;
  #errorType: string | undefined;
  #ended = false;

  constructor(tracer: Tracer, span: Span, parent: Context) {
    this.#tracer = tracer;
    this.#span = span;
    this.#context = trace.setSpan(parent, span);
  }

  get recording(): boolean {
    return this.#span.isRecording();
  }

  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  get spanId(): string {
    return this.#span.spanContext().spanId;
  }

  get headers(): Readonly<Record<string, string>> {
    if (this.#headers === undefined) {
      this.#headers = {};
      propagation.inject(this.#context, this.#headers);
    }
    return this.#headers;
  }

  begin(name: string, kind: "client" | "internal", attributes: SpanAttributes = {}): TraceSpan {
    const span = this.#tracer.startSpan(name, { kind: KINDS[kind], attributes }, this.#context);
    return new RecordedSpan(this.#tracer, span, this.#context);
  }

  set(attributes: SpanAttributes): void {
    if (this.#ended) return;
    const { "error.type": type } = attributes;
    if (typeof type === "string") this.#errorType = type;
    this.#span.setAttributes(attributes);
  }

  event(name: string, attributes: SpanAttributes = {}): void {
    if (!this.#ended) this.#span.addEvent(name, attributes);
  }

  end(failure?: unknown): void {
    if (this.#ended) return;
    if (failure !== undefined) {
      // What the work itself said of it is more exact than how a transport ended.
      this.#span.setAttributes({ "error.type": this.#errorType ?? typeOf(failure) });
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#ended = true;
    this.#span.end();
  }
}

/** The text of an error may repeat what was asked: it stays in the log, which names the trace. */
function typeOf(failure: unknown): ErrorCode | string {
  return typeof failure === "string" ? failure : toCapstanError(failure).code;
}
