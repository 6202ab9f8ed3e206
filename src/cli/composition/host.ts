import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Logger } from "pino";
import { batchedEmbeddings } from "../../host/batching/embeddings.ts";
import { ArtifactCache } from "../../host/cache/artifact-cache.ts";
import { ModelDataPlane } from "../../host/data-plane.ts";
import { isolationCounts } from "../../host/isolation/counts.ts";
import type { Journal } from "../../host/journal.ts";
import { Loader } from "../../host/loader.ts";
import { Memories } from "../../host/memory/memories.ts";
import { metered } from "../../host/metering.ts";
import { ModelGraph } from "../../host/model-graph.ts";
import { Reconciler } from "../../host/reconciler.ts";
import { ModelRegistry } from "../../host/registry.ts";
import { type Candidate, onlyModel, scanRepository } from "../../host/repository.ts";
import { ResponseCache } from "../../host/response-cache.ts";
import { Decisions } from "../../host/sources/decisions.ts";
import { adoptDecisions, DesiredFile, type DesiredState } from "../../host/sources/desired.ts";
import { Sources } from "../../host/sources/sources.ts";
import { traced } from "../../host/traced-llm.ts";
import type { DataPlane } from "../../host/types.ts";
import { userCodeCounts } from "../../host/user-code/counts.ts";
import { watchRepository } from "../../host/watcher.ts";
import { DesiredTable } from "../../records/desired-table.ts";
import type { GatewayModel } from "../../settings/gateway-environment.ts";
import type { Environment } from "../../settings/interpolate.ts";
import type { ServerSettings } from "../../settings/server.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Tracing } from "../../telemetry/tracing.ts";
import type { Records } from "./kept-records.ts";

const MIB = 1024 * 1024;

/** The protocol extensions that work here; clients choose by them (V2 server metadata). */
const EXTENSIONS = [
  "binary_tensor_data",
  "model_repository",
  "model_configuration",
  "statistics",
  "generate",
];

export type Scan = () => Promise<readonly Candidate[]>;

/** What a look at the repository finds. */
export function scanOf(settings: ServerSettings, env: Environment, only: GatewayModel | undefined): Scan {
  if (only !== undefined) return () => onlyModel(only, process.cwd());
  return () => scanRepository(settings.model_repository_root, env);
}

/**
 * What people decide about the models of one repository. With a database everyone who shares it follows the same, else
 * the servers on this machine that serve the repository.
 * @throws the database's error when what was decided before cannot be taken over. While it cannot be reached, that is put
 *   off, and what was read last counts.
 */
export async function decisionsOf(
  { cache_dir, model_repository_root }: ServerSettings,
  { store, arrival }: Pick<Records, "store" | "arrival">,
): Promise<DesiredState> {
  const file = new DesiredFile(cache_dir, shortHash(model_repository_root));
  if (store === undefined) return file;
  const copy = join(cache_dir, "desired", `of-${shortHash(store.address)}.json`);
  const table = new DesiredTable(store.database, { copy, before: file });
  await arrival?.first(() => adoptDecisions(file, table));
  return table;
}

const shortHash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

interface HostRecords extends Pick<Records, "completions" | "ready"> {
  readonly desired: DesiredState;
  readonly journal: Journal;
  readonly tracing: Tracing | undefined;
}

/** The models, and the plane that serves them. */
export function createHost(
  settings: ServerSettings,
  scan: Scan,
  log: Logger,
  metrics: Metrics,
  stopping: AbortSignal,
  { completions, desired, journal, tracing, ready: keysReady = () => true }: HostRecords,
) {
  const registry = new ModelRegistry((name, version) => reconciler.absence(name, version));
  const memories = new Memories({
    redisUrl: settings.redis_url,
    named: settings.memory,
    folder: process.cwd(),
    memoryOf: (model) => registry.find(model).settings.parameters.extra.memory,
  });
  const artifacts = new ArtifactCache(settings.cache_dir, settings.cache_max_bytes, log);
  const sources = new Sources({
    cache: artifacts,
    desired,
    log,
    changed: () =>
      void reconciler.reconcile().catch((err) => log.error({ err }, "a change was not followed")),
  });
  const loader = new Loader({
    registry,
    artifacts,
    graph: new ModelGraph(),
    plane: () => plane,
    // What is remembered is part of what a model is asked: outside of it, only what describes the answers.
    layers: [batchedEmbeddings, metered, ...(completions ? [completions.layer] : []), memories.layer, traced],
    checkMemory: (model, folder, file) => memories.check(model, folder, file),
    parallelWorkers: settings.parallel_workers,
    cache: settings.cache_enabled ? new ResponseCache(settings.cache_size * MIB) : undefined,
  });
  const reconciler = new Reconciler({
    scan,
    load: (candidate, config, call) => loader.load(candidate, config, call),
    registry,
    log,
    drainMs: settings.drain_timeout,
    concurrency: settings.load_concurrency,
    loadAtStartup: settings.load_models_at_startup,
    readiness: settings.readiness,
    told: metrics.reloads,
    sources,
    decisions: new Decisions(desired, artifacts),
    journal,
    tracing,
  });
  metrics.watchUserCode(userCodeCounts);
  metrics.models.watchStates(() => reconciler.index());
  metrics.reloads.watch(
    () => reconciler.details(),
    () => sources.rows(),
  );
  metrics.models.watchInference(() => registry.inferenceRows());
  metrics.models.watchServed(() => registry.servedRows());
  metrics.models.watchWorkers(() => isolationCounts.rows());
  metrics.llm.watch(
    () => registry.languageModelRows(),
    (model) => reconciler.index().some(({ name }) => name === model),
  );
  const server = {
    name: settings.server_name,
    version: settings.server_version,
    extensions: [...new Set([...EXTENSIONS, ...settings.extensions])],
  };
  const ready = () => !stopping.aborted && keysReady() && reconciler.ready();
  const plane: DataPlane = new ModelDataPlane({ registry, server, ready });
  return { plane, reconciler, memories, sources };
}

export function watch(settings: ServerSettings, reconciler: Reconciler, log: Logger): AsyncDisposable {
  const changed = () =>
    void reconciler.reconcile().catch((err) => log.error({ err }, "the repository could not be read"));
  return watchRepository(settings.model_repository_root, settings.repository_poll, changed, log);
}
