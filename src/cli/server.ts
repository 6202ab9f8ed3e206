import type { Logger } from "pino";
import { type GrpcListening, listenGrpc } from "../grpc/server.ts";
import { ModelDataPlane } from "../host/data-plane.ts";
import { Loader } from "../host/loader.ts";
import { ModelGraph } from "../host/model-graph.ts";
import { Reconciler } from "../host/reconciler.ts";
import { ModelRegistry } from "../host/registry.ts";
import { scanRepository } from "../host/repository.ts";
import type { DataPlane, RepositoryControl } from "../host/types.ts";
import { watchRepository } from "../host/watcher.ts";
import { createApp } from "../http/app.ts";
import { cancelRoutes } from "../http/cancel.ts";
import { eventSourceRoutes } from "../http/event-source.ts";
import { generateRoutes } from "../http/generate.ts";
import { healthRoutes, metricsRoutes } from "../http/health.ts";
import { mlflowRoutes } from "../http/mlflow.ts";
import { openAIRoutes } from "../http/openai/routes.ts";
import type { HttpParts } from "../http/parts.ts";
import { repositoryRoutes } from "../http/repository.ts";
import { RunningCalls } from "../http/running.ts";
import { type Listening, listen } from "../http/server.ts";
import { textRoutes } from "../http/text.ts";
import { v2Routes } from "../http/v2.ts";
import type { Environment } from "../settings/interpolate.ts";
import type { ServerSettings } from "../settings/server.ts";
import { logControl } from "../telemetry/log.ts";
import { Metrics } from "../telemetry/metrics.ts";

/** The protocol extensions that work here; clients choose by them (V2 server metadata). */
const EXTENSIONS = [
  "binary_tensor_data",
  "model_repository",
  "model_configuration",
  "statistics",
  "generate",
];

export interface RunningServer {
  readonly http: Listening;
  readonly grpc: GrpcListening;
  readonly metrics: Listening | undefined;
  readonly plane: DataPlane;
  readonly repository: RepositoryControl;
  /** Fails readiness, answers what was accepted, disposes every model. Safe to call twice. */
  close(): Promise<void>;
}

/**
 * Puts the parts together: what is served, and the transports in front of it. Resolves when every model
 * present is loaded or refused; the transports answer from the beginning, and are not ready until then.
 * @throws the socket's error when a port cannot be had; nothing is left running then.
 */
export async function startServer(
  settings: ServerSettings,
  env: Environment,
  log: Logger,
): Promise<RunningServer> {
  await using opened = new AsyncDisposableStack();
  const closing = new AbortController();
  const metrics = new Metrics(settings.metrics_rest_server_prefix);
  const { plane, reconciler } = createHost(settings, env, log, metrics, closing.signal);
  const parts = {
    plane,
    repository: reconciler,
    metrics,
    settings,
    log,
    running: new RunningCalls(),
    stopping: () => closing.signal.aborted,
  };
  opened.defer(() => reconciler.close());
  const metricsServer = await listenForMetrics(parts);
  if (metricsServer) opened.defer(() => metricsServer.close());
  const transports: Pick<Listening, "close">[] = [];
  opened.defer(() => closeAll(transports));
  const http = await listenForModels(parts);
  transports.push(http);
  const grpcAddress = { host: settings.host, port: settings.grpc_port };
  const grpc = await listenGrpc({ ...parts, logControl: logControl(log) }, grpcAddress);
  transports.push(grpc);
  await reconciler.start();
  opened.use(watch(settings, reconciler, log));
  opened.defer(() => closing.abort());
  const running = opened.move();
  return {
    http,
    grpc,
    metrics: metricsServer,
    plane,
    repository: reconciler,
    close: () => running.disposeAsync(),
  };
}

/** At the same time: while one drains, the other must not go on taking work. */
async function closeAll(transports: readonly Pick<Listening, "close">[]): Promise<void> {
  await Promise.all(transports.map((transport) => transport.close()));
}

function createHost(
  settings: ServerSettings,
  env: Environment,
  log: Logger,
  metrics: Metrics,
  stopping: AbortSignal,
) {
  const registry = new ModelRegistry((name, version) => reconciler.absence(name, version));
  const loader = new Loader(registry, new ModelGraph(), () => plane);
  const reconciler = new Reconciler({
    scan: () => scanRepository(settings.model_repository_root, env),
    load: (candidate, config, call) => loader.load(candidate, config, call),
    registry,
    log,
    drainMs: settings.drain_timeout,
    concurrency: settings.load_concurrency,
    loadAtStartup: settings.load_models_at_startup,
    readiness: settings.readiness,
    loaded: (model, succeeded) => metrics.loaded(model, succeeded),
  });
  metrics.watchModels(() => reconciler.index());
  metrics.watchInference(() => registry.inferenceRows());
  const server = {
    name: settings.server_name,
    version: settings.server_version,
    extensions: [...new Set([...EXTENSIONS, ...settings.extensions])],
  };
  const ready = () => !stopping.aborted && reconciler.ready();
  const plane: DataPlane = new ModelDataPlane({ registry, server, ready });
  return { plane, reconciler };
}

function listenForModels(parts: HttpParts): Promise<Listening> {
  const { settings } = parts;
  const routes = [
    ...v2Routes,
    ...repositoryRoutes,
    ...healthRoutes,
    ...mlflowRoutes,
    ...generateRoutes,
    ...eventSourceRoutes,
    ...cancelRoutes,
    ...openAIRoutes,
    ...textRoutes(settings.metrics_endpoint),
    ...metricsRoutes(settings.metrics_endpoint),
  ];
  const address = { host: settings.host, port: settings.http_port };
  return listen(createApp(routes, parts), address, settings, {
    overdue: () => parts.running.cancelAll("The server is stopping"),
  });
}

/** Metrics have a port of their own, so that it can be open where the models are not. */
async function listenForMetrics(parts: HttpParts): Promise<Listening | undefined> {
  const { settings } = parts;
  if (settings.metrics_endpoint === null) return undefined;
  const app = createApp(metricsRoutes(settings.metrics_endpoint), parts);
  return listen(app, { host: settings.host, port: settings.metrics_port }, settings);
}

function watch(settings: ServerSettings, reconciler: Reconciler, log: Logger): AsyncDisposable {
  const changed = () =>
    void reconciler.reconcile().catch((err) => log.error({ err }, "the repository could not be read"));
  return watchRepository(settings.model_repository_root, settings.repository_poll, changed, log);
}
