import type { Call, TraceSpan } from "../../src/contracts/index.ts";
import type { Address } from "./address.ts";

/** The span of one request to one address (OpenTelemetry, HTTP client spans); absent where nobody traces. */
export function beginSpan(
  { trace }: Call,
  { origin, label }: Address,
  route: string,
  body: object,
): TraceSpan | undefined {
  if (trace === undefined) return undefined;
  const { hostname, port, protocol } = new URL(origin);
  return trace.begin("POST", "client", {
    "http.request.method": "POST",
    // Without the query, which may hold a key.
    "url.full": `${label}/${route}`,
    "server.address": hostname,
    "server.port": Number(port || (protocol === "https:" ? 443 : 80)),
    "gen_ai.request.model": "model" in body && typeof body.model === "string" ? body.model : undefined,
  });
}
