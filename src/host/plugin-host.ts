import {
  type Call,
  type CapLLM,
  CapstanError,
  type Host,
  type ModelClient,
  type ModelSpec,
  type Runtime,
} from "../contracts/index.ts";
import { fetchInto } from "./artifacts.ts";
import type { ModelGraph } from "./model-graph.ts";
import { parseOptions } from "./options.ts";
import { loadPlugin } from "./plugins.ts";
import type { DataPlane } from "./types.ts";

/** What the plugins of one model share with the rest of the host. */
export interface PluginHostParts {
  readonly model: string;
  readonly graph: ModelGraph;
  readonly plane: () => DataPlane;
  /** Ends with the generation. */
  readonly resources: AsyncDisposableStack;
}

/** The {@link Host} that the plugins of one model see. */
export class PluginHost implements Host {
  readonly #parts: PluginHostParts;

  constructor(parts: PluginHostParts) {
    this.#parts = parts;
  }

  async runtime(name: string, model: ModelSpec, options: unknown, call: Call): Promise<Runtime> {
    const plugin = await loadPlugin("runtime", name, model.folder);
    return plugin.load(model, parseOptions(plugin.options, options, "parameters.extra"), this, call);
  }

  async adapter(name: string, model: ModelSpec, options: unknown, call: Call): Promise<CapLLM> {
    const plugin = await loadPlugin("adapter", name, model.folder);
    return plugin.load(model, parseOptions(plugin.options, options, "parameters.extra"), this, call);
  }

  model(name: string): ModelClient {
    if (this.#parts.resources.disposed) {
      throw new CapstanError("NOT_READY", `Model '${this.#parts.model}' is gone, and can call no other`);
    }
    this.#parts.resources.use(this.#parts.graph.connect(this.#parts.model, name));
    return new InProcessModel(name, this.#parts.plane());
  }

  fetch(uri: string, directory: string, call: Call): Promise<void> {
    return fetchInto(uri, directory, this, call);
  }
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
