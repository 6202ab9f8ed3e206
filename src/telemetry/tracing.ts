import type { Log, SpanAttributes, TraceSpan } from "../contracts/index.ts";

/** A request to this server. */
export interface ServedRequest {
  readonly name: string;
  readonly header: (name: string) => string | undefined;
  readonly attributes: SpanAttributes;
}

/** Spans of requests, for a collector. Disposing it sends what is left. */
export interface Tracing extends AsyncDisposable {
  serve(request: ServedRequest): TraceSpan;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Any of these asks for traces. */
const ASKING = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"];

function isAsked(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === "true" || env.OTEL_TRACES_EXPORTER === "none") return false;
  return ASKING.some((name) => (env[name] ?? "") !== "");
}

/** Traces, where the environment asks for them; undefined otherwise, and nothing of the SDK is loaded then. */
export async function startTracing(env: Environment, log: Log): Promise<Tracing | undefined> {
  if (!isAsked(env)) return undefined;
  const { startOpenTelemetry } = await import("./open-telemetry.ts");
  const variables = Object.entries(env).filter(([name]) => name.startsWith("OTEL_"));
  return startOpenTelemetry(Object.fromEntries(variables) as Record<string, string>, log);
}
