import type { Log } from "../contracts/index.ts";
import type { Tracing } from "./tracing.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What says where traces go. */
const ENDPOINTS = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

export interface TracingSettings {
  /** An OTLP collector's gRPC address, as in MLServer's settings. */
  readonly tracing_server: string | null;
}

/**
 * Traces, where the environment or the settings ask for them; undefined otherwise, and nothing of the SDK is loaded
 * then.
 */
export async function startTracing(
  env: Environment,
  { tracing_server }: TracingSettings,
  log: Log,
): Promise<Tracing | undefined> {
  const variables = { ...variablesFor(tracing_server, env), ...variablesIn(env) };
  if (!isAsked(variables)) return undefined;
  const { startOpenTelemetry } = await import("./open-telemetry.ts");
  return startOpenTelemetry(variables, log);
}

function isAsked({ OTEL_SDK_DISABLED: disabled, OTEL_TRACES_EXPORTER: exporter, ...variables }: Variables) {
  if (disabled?.toLowerCase() === "true" || exporter === "none") return false;
  return exporter !== undefined || ENDPOINTS.some((name) => variables[name] !== undefined);
}

type Variables = Readonly<Record<string, string>>;

/** An empty variable counts as absent (OpenTelemetry's specification of its environment). */
function variablesIn(env: Environment): Variables {
  const given = Object.entries(env).filter(([name, value]) => name.startsWith("OTEL_") && value);
  return Object.fromEntries(given) as Variables;
}

/** MLServer's exporter is OTLP over gRPC, without TLS unless the address is a url that says so. */
function variablesFor(server: string | null, env: Environment): Variables {
  if (server === null || ENDPOINTS.some((name) => env[name])) return {};
  return {
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: server.includes("://") ? server : `http://${server}`,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "grpc",
  };
}
