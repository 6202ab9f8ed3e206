import { ERROR_TABLE } from "../contracts/index.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import type { Exchange } from "./exchange.ts";

/** Begins the request's span, which ends when its answer is out or its client gone (OpenTelemetry, HTTP server spans). */
export function traceExchange(x: Exchange, tracing: Tracing): void {
  const { request, response, parts } = x;
  const method = request.method!;
  // What matches no route has no template, and paths of callers would be names without end.
  const route = x.route.startsWith("/") ? parts.settings.root_path + x.route : undefined;
  const span = tracing.serve({
    name: route === undefined ? method : `${method} ${route}`,
    header: (name) => x.header(name),
    attributes: {
      "http.request.method": method,
      "http.route": route,
      "url.path": request.url?.split("?", 1)[0],
      "url.scheme": "encrypted" in request.socket ? "https" : "http",
      "capstan.request_id": x.requestId,
    },
  });
  x.span = span;
  response.once("close", () => {
    const code = x.failure ?? (response.writableFinished ? undefined : "CANCELLED");
    const status = response.headersSent ? response.statusCode : undefined;
    span.set({ "http.response.status_code": status, "error.type": code });
    span.end(code !== undefined && ERROR_TABLE[code].http >= 500 ? code : undefined);
  });
}
