import {
  type Call,
  CapstanError,
  isCapstanError,
  type ModelSpec,
  type RuntimePlugin,
} from "../contracts/index.ts";
import type { ModelSettings } from "../settings/model.ts";
import { Admission } from "./admission.ts";
import { absoluteUri, materialise } from "./artifacts.ts";
import { runCases } from "./cases.ts";
import { Generation } from "./generation.ts";
import type { ModelGraph } from "./model-graph.ts";
import { parseOptions, splitExtra } from "./options.ts";
import { applyOverride } from "./override.ts";
import { PluginHost } from "./plugin-host.ts";
import { loadPlugin } from "./plugins.ts";
import type { ModelRegistry } from "./registry.ts";
import type { Candidate } from "./repository.ts";
import type { DataPlane } from "./types.ts";

/** Makes a generation out of what a scan found: fetch, load, run the folder's own cases. */
export class Loader {
  readonly #registry: ModelRegistry;
  readonly #graph: ModelGraph;
  readonly #plane: () => DataPlane;

  constructor(registry: ModelRegistry, graph: ModelGraph, plane: () => DataPlane) {
    this.#registry = registry;
    this.#graph = graph;
    this.#plane = plane;
  }

  /**
   * @param config text of a model-settings.json override from a repository call.
   * @throws CapstanError with the reason; nothing is left behind then.
   */
  async load(candidate: Candidate, config: string | undefined, call: Call): Promise<Generation> {
    if (candidate.settings === undefined) throw candidate.error ?? unreadable(candidate);
    const resources = new AsyncDisposableStack();
    await using unfinished = new AsyncDisposableStack();
    unfinished.use(resources);
    try {
      const plugin = await loadPlugin("runtime", candidate.settings.implementation, candidate.folder);
      const settings = tuned(candidate.settings, config, plugin);
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
    const host = new PluginHost({
      model: candidate.name,
      graph: this.#graph,
      plane: this.#plane,
      resources,
    });
    const { source, options, admission: limits } = splitExtra(settings.parameters.extra);
    const described = describe(candidate, settings);
    const spec =
      plugin.uri === "address" ? described : await withArtifact(described, source, host, resources, call);
    const runtime = resources.use(
      await plugin.load(
        spec,
        parseOptions(plugin.options, options, `${candidate.file}: parameters.extra`),
        host,
        call,
      ),
    );
    await runCases(candidate.folder, runtime, call);
    call.signal.throwIfAborted();
    const statistics = this.#registry.statistics(spec.name, spec.version);
    const raw = candidate.raw ?? {};
    const admission = limits && new Admission(limits);
    const parts = { spec, settings, raw, runtime, statistics, admission };
    return new Generation({ ...parts, resources });
  }
}

function describe({ name, version, folder }: Candidate, settings: ModelSettings): ModelSpec {
  const { inputs, outputs, platform } = settings;
  return { name, version, folder, inputs, outputs, platform, uri: settings.parameters.uri };
}

async function withArtifact(
  spec: ModelSpec,
  source: unknown,
  host: PluginHost,
  resources: AsyncDisposableStack,
  call: Call,
): Promise<ModelSpec> {
  if (spec.uri === undefined) return spec;
  const artifact = await materialise(absoluteUri(spec.uri, spec.folder), source, host, resources, call);
  return { ...spec, artifact };
}

function tuned(settings: ModelSettings, config: string | undefined, plugin: RuntimePlugin): ModelSettings {
  return config === undefined ? settings : applyOverride(settings, config, plugin.overridable ?? []);
}

function unreadable(candidate: Candidate): CapstanError {
  return new CapstanError("LOAD_FAILED", `${candidate.file}: the settings could not be read`);
}

function unexpected(cause: unknown): CapstanError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CapstanError("LOAD_FAILED", why, { cause });
}
