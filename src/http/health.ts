import { CapstanError } from "../contracts/index.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";
import { sendBytes, sendJson } from "./send.ts";

/** Liveness and readiness: what clients read is the status (V2 REST health). */
export const healthRoutes: Route[] = [
  { method: "GET", path: "/v2/health/live", untraced: true, handle: (x) => sendJson(x, 200, { live: true }) },
  { method: "GET", path: "/v2/health/ready", untraced: true, handle: ready },
];

function ready(x: Exchange): Promise<void> {
  if (x.parts.plane.serverReady()) return sendJson(x, 200, { ready: true });
  // Where keys decide who sees which model, a probe without one sees none.
  if (x.parts.access) throw new CapstanError("NOT_READY", "The server is not ready");
  const waiting = x.parts.repository.index().filter((entry) => entry.state !== "READY");
  const names = waiting.map((entry) => `${entry.name} (${entry.reason})`).join(", ");
  throw new CapstanError("NOT_READY", `The server is not ready${names ? `: ${names}` : ""}`);
}

/** The route that Prometheus scrapes; null is no route. */
export function metricsRoutes(path: string | null): Route[] {
  return path === null ? [] : [{ method: "GET", path, untraced: true, handle: metrics }];
}

async function metrics(x: Exchange): Promise<void> {
  const { registry } = x.parts.metrics;
  return sendBytes(x, 200, Buffer.from(await registry.metrics()), { "content-type": registry.contentType });
}
