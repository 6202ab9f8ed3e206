import type { Log } from "../contracts/index.ts";
import { RunningCalls } from "../host/running.ts";
import { BrowserStreams } from "../host/streams/index.ts";
import { createApp } from "../http/app.ts";
import type { HttpParts } from "../http/parts.ts";
import { type Listening, lingerFor, listen } from "../http/server.ts";
import type { ServerSettings } from "../settings/server.ts";
import { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import type { UpstreamAddress } from "./address.ts";
import { noModels, noRepository } from "./no-models.ts";
import { gatewayRoutes } from "./routes.ts";
import { Upstream } from "./upstream.ts";

export interface RunningGateway {
  readonly http: Listening;
  /**
   * Fails readiness and waits for the streams under way, at most until the drain times out. Safe to call twice.
   * @param lingerMs for so long new requests are still taken, and then for as long again over open connections.
   */
  close(lingerMs?: number): Promise<void>;
}

/**
 * Puts HTTP in front of a V2 gRPC server's streams.
 * @param tracing its caller's, who closes it when the gateway is closed.
 * @throws the socket's error when the port cannot be had; nothing is left running then.
 */
export async function startGateway(
  settings: ServerSettings,
  address: UpstreamAddress,
  log: Log,
  tracing?: Tracing,
): Promise<RunningGateway> {
  await using opened = new AsyncDisposableStack();
  const closing = new AbortController();
  let draining = false;
  let linger = 0;
  const upstream = opened.use(new Upstream({ address, maxMessageBytes: settings.grpc_max_message_length }));
  const running = new RunningCalls();
  const streams = opened.use(await BrowserStreams.open(settings, log, running));
  const parts: HttpParts = {
    plane: noModels,
    repository: noRepository,
    metrics: new Metrics(settings.metrics_rest_server_prefix),
    tracing,
    settings,
    log,
    running,
    streams,
    stopping: () => draining,
  };
  const app = createApp(gatewayRoutes(upstream, settings.metrics_endpoint, closing.signal), parts);
  const http = await listen(app, { host: settings.host, port: settings.http_port }, settings, {
    overdue: () => running.cancelAll("The gateway is stopping"),
  });
  opened.defer(async () => {
    if (linger > 0) await lingerFor(linger);
    const closed = Promise.all([http.close(linger), streams.close()]);
    // Not before: who is told to connect again must find another gateway, and not one that is closing.
    draining = true;
    await closed;
  });
  opened.defer(() => closing.abort());
  const started = opened.move();
  return {
    http,
    close(lingerMs = 0) {
      linger = lingerMs;
      return started.disposeAsync();
    },
  };
}
