import type { Logger } from "pino";
import { type GrpcListening, listenGrpc } from "../grpc/server.ts";
import { CountedPlane } from "../host/counted-plane.ts";
import { Journal } from "../host/journal.ts";
import { RunningCalls } from "../host/running.ts";
import { BrowserStreams } from "../host/streams/index.ts";
import type { DataPlane, RepositoryControl } from "../host/types.ts";
import { Kickoffs } from "../http/kickoffs.ts";
import { type Listening, lingerFor } from "../http/server.ts";
import type { GatewayModel } from "../settings/gateway-environment.ts";
import type { Environment } from "../settings/interpolate.ts";
import type { ServerSettings } from "../settings/server.ts";
import { logControl } from "../telemetry/log.ts";
import { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { createHost, decisionsOf, scanOf, watch } from "./composition/host.ts";
import { listenForMetrics, listenForModels } from "./composition/http.ts";
import { openRecords, recordsOf, watchRecords } from "./composition/records.ts";

export interface RunningServer {
  readonly http: Listening;
  readonly grpc: GrpcListening;
  readonly metrics: Listening | undefined;
  readonly plane: DataPlane;
  readonly repository: RepositoryControl;
  /** Whether it came to checking keys, for which their database may have to be waited for; false when it was closed before. */
  readonly usable: Promise<boolean>;
  /**
   * Fails readiness, answers what was accepted, disposes every model. Safe to call twice.
   * @param lingerMs for so long new requests are still taken: some were on their way when nobody could know. Then for
   * as long again over the connections that are open.
   */
  close(lingerMs?: number): Promise<void>;
}

/**
 * Puts the parts together: what is served, and the transports in front of it. Resolves when every model
 * present is loaded or refused; the transports answer from the beginning, and are not ready until then.
 * @param only served instead of the repository's folders.
 * @param tracing its caller's, who closes it when the server is closed.
 * @throws the socket's error when a port cannot be had; nothing is left running then.
 */
export async function startServer(
  settings: ServerSettings,
  env: Environment,
  log: Logger,
  only?: GatewayModel,
  tracing?: Tracing,
): Promise<RunningServer> {
  await using opened = new AsyncDisposableStack();
  const closing = new AbortController();
  const metrics = new Metrics(settings.metrics_rest_server_prefix);
  const records = await openRecords(settings, env, log, opened);
  watchRecords(metrics, records);
  const journal = new Journal();
  const { plane, reconciler, memories, sources } = createHost(
    settings,
    scanOf(settings, env, only),
    log,
    metrics,
    closing.signal,
    { ...records, desired: await decisionsOf(settings, records), journal, tracing },
  );
  // Closed when no model is left that may still have something to remember.
  opened.use(memories);
  opened.use(sources);
  const running = new RunningCalls();
  const streams = opened.use(await BrowserStreams.open(settings, log, running));
  let draining = false;
  const parts = {
    plane: countedBy(metrics, settings, records.around(plane)),
    access: records.access,
    administration: records.administration,
    records: recordsOf(records),
    repository: reconciler,
    journal,
    metrics,
    tracing,
    settings,
    log,
    running,
    streams,
    memories,
    stopping: () => draining,
  };
  opened.defer(() => reconciler.close());
  const kickoffs = opened.use(new Kickoffs(parts));
  const metricsServer = await listenForMetrics(parts);
  if (metricsServer) opened.defer(() => metricsServer.close());
  const transports: Pick<Listening, "close">[] = [streams, journal];
  let linger = 0;
  opened.defer(async () => {
    if (linger > 0) await lingerFor(linger);
    const closed = closeAll(transports, linger);
    // Not before: who is told to connect again must find nobody, or another server, and not one that is closing.
    draining = true;
    await closed;
  });
  const http = await listenForModels(parts, kickoffs);
  transports.push(http);
  const grpcAddress = { host: settings.host, port: settings.grpc_port };
  const stopping = () => closing.signal.aborted;
  const grpc = await listenGrpc({ ...parts, stopping, logControl: logControl(log) }, grpcAddress);
  transports.push(grpc);
  // Decided about models may have been what nobody knew without the database.
  const follow = async () =>
    void reconciler.reconcile().catch((err) => log.error({ err }, "decisions were not followed"));
  if (records.arrival?.isHere === false) await records.arrival.first(follow);
  await reconciler.start();
  if (only === undefined) opened.use(watch(settings, reconciler, log));
  opened.defer(() => closing.abort());
  const started = opened.move();
  return {
    http,
    grpc,
    metrics: metricsServer,
    plane,
    repository: reconciler,
    usable: (records.ready && records.arrival?.whenHere()) ?? Promise.resolve(true),
    close(lingerMs = 0) {
      linger = lingerMs;
      return started.disposeAsync();
    },
  };
}

/** The outermost layer: what is refused counts as well. Nobody reads the counts of a server without metrics. */
function countedBy({ llm }: Metrics, { metrics_endpoint }: ServerSettings, plane: DataPlane): DataPlane {
  return metrics_endpoint === null ? plane : new CountedPlane(plane, llm);
}

/** At the same time: while one drains, the other must not go on taking work. */
async function closeAll(transports: readonly Pick<Listening, "close">[], graceMs: number): Promise<void> {
  await Promise.all(transports.map((transport) => transport.close(graceMs)));
}
