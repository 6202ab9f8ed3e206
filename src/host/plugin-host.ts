import { realpath } from "node:fs/promises";
import { relative, sep } from "node:path";
import {
  type Call,
  type CapLLM,
  CapstanError,
  type Host,
  type Log,
  type ModelClient,
  type ModelSpec,
  type Runtime,
  type RuntimePlugin,
  type UserCode,
} from "../contracts/index.ts";
import type { ModelSettings } from "../settings/model.ts";
import { fetchInto } from "./artifacts.ts";
import { hostService } from "./isolation/host-service.ts";
import { isolatedLLM, isolatedRuntime } from "./isolation/isolated.ts";
import { type Placement, placementOf } from "./isolation/placement.ts";
import { WorkerPool } from "./isolation/pool.ts";
import type { Task } from "./isolation/task.ts";
import type { ModelGraph } from "./model-graph.ts";
import { parseOptions } from "./options.ts";
import { loadPlugin } from "./plugins.ts";
import type { DataPlane } from "./types.ts";
import { attributedLLM, attributedRuntime } from "./user-code/attributed.ts";
import { type Owner, owns, runAs } from "./user-code/strays.ts";
import { UserModule } from "./user-code/user-module.ts";

/** Puts something around a language model, such as a memory. The result is disposed by whoever disposes `llm`. */
export type LanguageModelLayer = (llm: CapLLM, model: LayeredModel) => CapLLM;

/** The model that a layer is for. */
export interface LayeredModel {
  readonly name: string;
  readonly version: string;
  /** The revision of what a resolver brought, else the uri as the settings have it. */
  readonly artifact?: string | undefined;
  readonly extra: ModelSettings["parameters"]["extra"];
  readonly maxBatchSize: number;
}

/** What the plugins of one model share with the rest of the host. */
export interface PluginHostParts {
  readonly model: LayeredModel;
  /** Holds the model's `model-settings.json`. */
  readonly folder: string;
  /** Innermost first. */
  readonly layers: readonly LanguageModelLayer[];
  readonly graph: ModelGraph;
  readonly plane: () => DataPlane;
  /** Ends with the generation. */
  readonly resources: AsyncDisposableStack;
  /** `parallel_workers` of settings.json; 0 takes no threads. */
  readonly parallelWorkers: number;
  /** Of the load; for what is not part of a request. */
  readonly log: Log;
}

/** The runtime of a model's settings. */
export interface Implementation {
  /** As `implementation` names it. */
  readonly name: string;
  readonly plugin: RuntimePlugin;
  readonly options: unknown;
  /** Where the options are, for messages. */
  readonly place: string;
}

/** The {@link Host} that the plugins of one model see. */
export class PluginHost implements Host {
  readonly #parts: PluginHostParts;

  readonly #owner: Owner;
  readonly #fetched: string[] = [];

  constructor(parts: PluginHostParts) {
    this.#parts = parts;
    const { model, folder, log } = parts;
    this.#owner = { model: model.name, folder, log, hasCode: false };
  }

  /** Where the model would run, as far as its settings say. */
  get placement(): Placement {
    return placementOf(this.#parts.model.extra, this.#parts.parallelWorkers);
  }

  /**
   * Loads the model itself, isolated where its settings say so. A runtime that loads an adapter or another runtime, and
   * has little to do itself, stays; what it loads is isolated.
   */
  async load(
    { name, plugin, options, place }: Implementation,
    model: ModelSpec,
    call: Call,
    placement = this.placement,
  ): Promise<Runtime> {
    const parsed = parseOptions(plugin.options, options, place);
    const load = () => this.#runtimeHere(() => plugin.load(model, parsed, this, call));
    // `framework` in a model's settings names the adapter.
    if (placement.kind === "here" || Object.hasOwn(plugin.options.shape, "framework")) return load();
    const pool = await this.#pool({ kind: "runtime", plugin: name, model, options }, placement, call);
    if (!pool.described.runtime!.prepares) return isolatedRuntime(pool);
    await pool[Symbol.asyncDispose]();
    return load();
  }

  async runtime(name: string, model: ModelSpec, options: unknown, call: Call): Promise<Runtime> {
    const plugin = await loadPlugin("runtime", name, model.folder);
    return this.load({ name, plugin, options, place: "parameters.extra" }, model, call);
  }

  async adapter(name: string, model: ModelSpec, options: unknown, call: Call): Promise<CapLLM> {
    const plugin = await loadPlugin("adapter", name, model.folder);
    const parsed = parseOptions(plugin.options, options, "parameters.extra");
    const { model: layered, parallelWorkers } = this.#parts;
    const placement = placementOf(layered.extra, parallelWorkers, plugin.isolation);
    if (placement.kind !== "here")
      return isolatedLLM(
        await this.#pool({ kind: "adapter", plugin: name, model, options }, placement, call),
      );
    const llm = await runAs(this.#owner, () => plugin.load(model, parsed, this, call));
    return this.#owner.hasCode ? attributedLLM(llm, this.#owner) : llm;
  }

  async #runtimeHere(load: () => Promise<Runtime>): Promise<Runtime> {
    const runtime = await runAs(this.#owner, load);
    return this.#owner.hasCode ? attributedRuntime(runtime, this.#owner) : runtime;
  }

  #pool(task: Task, { kind, count }: Exclude<Placement, { kind: "here" }>, call: Call): Promise<WorkerPool> {
    return WorkerPool.start({ kind, task, service: hostService(this), log: this.#parts.log }, count, call);
  }

  model(name: string): ModelClient {
    if (this.#parts.resources.disposed) {
      throw new CapstanError("NOT_READY", `Model '${this.#parts.model.name}' is gone, and can call no other`);
    }
    this.#parts.resources.use(this.#parts.graph.connect(this.#parts.model.name, name));
    return new InProcessModel(name, this.#parts.plane());
  }

  languageModel(llm: CapLLM): CapLLM {
    return this.#parts.layers.reduce((inner, layer) => layer(inner, this.#parts.model), llm);
  }

  async code(file: string, call: Call): Promise<UserCode> {
    await this.trust(file);
    owns(this.#owner);
    return runAs(this.#owner, () => UserModule.import(this.#parts.folder, file, call));
  }

  async fetch(
    uri: string,
    directory: string,
    call: Call,
    options?: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await this.fetched(directory);
    await fetchInto(uri, directory, this, call, options);
  }

  /** Notes a folder whose files a resolver brings: nobody here has read them. */
  async fetched(directory: string): Promise<void> {
    this.#fetched.push(await realpath(directory).catch(() => directory));
  }

  /** @throws CapstanError LOAD_FAILED for code that a resolver brought, unless the settings trust it. */
  async trust(file: string): Promise<void> {
    if (this.#parts.model.extra.source?.trust_code === true) return;
    const real = await realpath(file).catch(() => file);
    if (!this.#fetched.some((folder) => isBelow(real, folder))) return;
    throw new CapstanError(
      "LOAD_FAILED",
      `${file} is code from outside of the repository, and is not run. If you trust whoever may write there, ` +
        "set parameters.extra.source.trust_code to true",
    );
  }
}

function isBelow(file: string, folder: string): boolean {
  const path = relative(folder, file);
  return path !== ".." && !path.startsWith(`..${sep}`);
}

/** Another model of this server, looked up at each call. */
class InProcessModel implements ModelClient {
  readonly #name: string;
  readonly #plane: DataPlane;

  constructor(name: string, plane: DataPlane) {
    this.#name = name;
    this.#plane = plane;
  }

  infer: ModelClient["infer"] = (request, call) => this.#plane.infer(this.#name, undefined, request, call);
  chat: ModelClient["chat"] = (request, call) => this.#plane.chat(this.#name, undefined, request, call);
  embed: ModelClient["embed"] = (texts, call) => this.#plane.embed(this.#name, undefined, texts, call);
}
