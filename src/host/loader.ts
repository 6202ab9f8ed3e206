import {
  type Call,
  CapstanError,
  isCapstanError,
  type Log,
  type ModelSpec,
  type RuntimePlugin,
} from "../contracts/index.ts";
import type { ModelSettings } from "../settings/model.ts";
import { isError } from "../settings/problems.ts";
import { Admission } from "./admission.ts";
import { artifactSize } from "./artifact-size.ts";
import { absoluteUri, type Materialised, materialise, pathOf } from "./artifacts.ts";
import { inferenceBatcher } from "./batching/inference.ts";
import type { ArtifactCache } from "./cache/artifact-cache.ts";
import { Generation } from "./generation.ts";
import type { Placement } from "./isolation/placement.ts";
import { during } from "./load-step.ts";
import { localPath } from "./local-path.ts";
import type { RememberingModel } from "./memory/memories.ts";
import type { ModelGraph } from "./model-graph.ts";
import { splitExtra } from "./options.ts";
import { applyOverride } from "./override.ts";
import { type LanguageModelLayer, type LayeredModel, PluginHost } from "./plugin-host.ts";
import { loadPlugin } from "./plugins.ts";
import type { ModelRegistry } from "./registry.ts";
import type { Candidate } from "./repository.ts";
import type { ResponseCache } from "./response-cache.ts";
import type { DataPlane } from "./types.ts";
import { loadWarm } from "./warm-up.ts";

export interface LoaderParts {
  readonly registry: ModelRegistry;
  readonly graph: ModelGraph;
  readonly plane: () => DataPlane;
  /** Keeps what resolvers fetch. */
  readonly artifacts: ArtifactCache;
  /** Put around every language model, innermost first. */
  readonly layers?: readonly LanguageModelLayer[];
  /**
   * Looks whether the memory that a model's settings name can be had.
   * @throws CapstanError LOAD_FAILED
   */
  readonly checkMemory?: (model: RememberingModel, folder: string, file: string) => Promise<void>;
  /** Threads a model may get; 0 for none. */
  readonly parallelWorkers?: number;
  /** Keeps the answers of models whose settings say `cache_enabled`; absent: none are kept. */
  readonly cache?: ResponseCache | undefined;
}

/** Makes a generation out of what a scan found: fetch, load, run the folder's own cases. */
export class Loader {
  readonly #parts: LoaderParts;

  constructor(parts: LoaderParts) {
    this.#parts = parts;
  }

  /**
   * @param config text of a model-settings.json override from a repository call.
   * @throws CapstanError with the reason; nothing is left behind then.
   */
  async load(candidate: Candidate, config: string | undefined, call: Call): Promise<Generation> {
    if (candidate.settings === undefined) return during(stepBefore(candidate), () => refuse(candidate));
    const { settings: written } = candidate;
    tellWarnings(candidate, call.log);
    const resources = new AsyncDisposableStack();
    await using unfinished = new AsyncDisposableStack();
    unfinished.use(resources);
    try {
      const plugin = await during("settings", () =>
        loadPlugin("runtime", written.implementation, candidate.folder),
      );
      const settings = await during("settings", () => tuned(written, config, plugin));
      const generation = await this.#build(candidate, settings, plugin, resources, call);
      // From here on the generation owns them, and its plugins may go on adding to them.
      unfinished.move();
      return generation;
    } catch (cause) {
      throw isCapstanError(cause) ? cause : unexpected(cause);
    }
  }

  async #build(
    candidate: Candidate,
    settings: ModelSettings,
    plugin: RuntimePlugin,
    resources: AsyncDisposableStack,
    call: Call,
  ): Promise<Generation> {
    await during("settings", () => this.#checkMemory(candidate, settings));
    const host = new PluginHost({
      folder: candidate.folder,
      model: layeredOf(candidate, settings),
      layers: this.#parts.layers ?? [],
      graph: this.#parts.graph,
      plane: this.#parts.plane,
      resources,
      parallelWorkers: this.#parts.parallelWorkers ?? 0,
      log: call.log,
    });
    const { source, options, admission: limits } = splitExtra(settings.parameters.extra);
    const described = describe(candidate, settings);
    const files =
      plugin.uri === "address"
        ? undefined
        : await during("fetch", () => this.#files(described, candidate, source, host, resources, call));
    const spec = files === undefined ? described : { ...described, artifact: files.path };
    const place = `${candidate.file}: parameters.extra`;
    const implementation = { name: settings.implementation, plugin, options, place };
    const warmUp = {
      load: (placement?: Placement) => host.load(implementation, spec, call, placement),
      open: host.placement.kind === "here" && host.placement.open,
      folder: candidate.folder,
      parallelWorkers: this.#parts.parallelWorkers ?? 0,
    };
    const runtime = resources.use(await loadWarm(warmUp, call));
    call.signal.throwIfAborted();
    await this.#remember(candidate);
    const statistics = this.#parts.registry.statistics(spec.name, spec.version);
    const raw = candidate.raw ?? {};
    const admission = limits && new Admission(limits);
    const batcher = inferenceBatcher(runtime, settings, statistics);
    const cache = settings.cache_enabled && runtime.llm === undefined ? this.#parts.cache : undefined;
    const artifactBytes = spec.artifact === undefined ? undefined : await artifactSize(spec.artifact);
    const parts = { spec, settings, raw, runtime, statistics, admission, batcher, cache, artifactBytes };
    return new Generation({ ...parts, digest: files?.digest, resources });
  }

  async #checkMemory({ name, folder, file }: Candidate, { parameters }: ModelSettings): Promise<void> {
    const { memory } = parameters.extra;
    if (memory !== undefined) await this.#parts.checkMemory?.({ name, memory }, folder, file);
  }

  /** What a rollback comes back to. A pin is a person's choice, and no step of the registry. */
  async #remember({ located, sourceKey, decided }: Candidate): Promise<void> {
    if (located === undefined) return;
    if (decided === undefined) await this.#parts.artifacts.remember(sourceKey!, located);
    if (decided === "rollback") await this.#parts.artifacts.returned(sourceKey!, located);
  }

  /** Undefined for a model without a uri. */
  async #files(
    spec: ModelSpec,
    { located, sourceKey }: Candidate,
    source: unknown,
    host: PluginHost,
    resources: AsyncDisposableStack,
    call: Call,
  ): Promise<Materialised | undefined> {
    if (spec.uri === undefined) return undefined;
    const uri = absoluteUri(spec.uri, spec.folder);
    if (located === undefined) return { path: await pathOf(uri, source, call) };
    const found = { uri, key: sourceKey!, located };
    const files = await materialise(found, this.#parts.artifacts, source, host, resources, call);
    if (localPath(spec.uri, spec.folder) === undefined) await host.fetched(files.path);
    return files;
  }
}

function layeredOf({ name, version, located }: Candidate, settings: ModelSettings): LayeredModel {
  const { uri, extra } = settings.parameters;
  const artifact = located?.revision ?? uri;
  return { name, version, artifact, extra, maxBatchSize: settings.max_batch_size };
}

function describe({ name, version, folder }: Candidate, settings: ModelSettings): ModelSpec {
  const { inputs, outputs, platform, parameters } = settings;
  const remembers = parameters.extra.memory !== undefined;
  return { name, version, folder, inputs, outputs, platform, uri: parameters.uri, remembers };
}

function tuned(settings: ModelSettings, config: string | undefined, plugin: RuntimePlugin): ModelSettings {
  return config === undefined ? settings : applyOverride(settings, config, plugin.overridable ?? []);
}

function refuse({ error, file }: Candidate): never {
  throw error ?? new CapstanError("LOAD_FAILED", `${file}: the settings could not be read`);
}

/** A candidate without settings has faults in them, or its registry has not said what it stands for. */
/** What was found in the settings and hinders nothing, such as a key that nobody knows. */
function tellWarnings({ name, problems }: Candidate, log: Log): void {
  for (const { message, file, line, key, severity } of problems)
    if (severity === "warning") log.warn({ model: name, file, line, key }, message);
}

const stepBefore = ({ problems }: Candidate) => (problems.some(isError) ? "settings" : "locate");

function unexpected(cause: unknown): CapstanError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CapstanError("LOAD_FAILED", why, { cause });
}
