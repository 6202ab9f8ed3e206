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
import type { Generation } from "./generation.ts";
import type { ModelGraph } from "./model-graph.ts";
import { parseOptions } from "./options.ts";
import { loadPlugin } from "./plugins.ts";
import type { DataPlane } from "./types.ts";

/** What the plugins of one model share with the rest of the host. */
export interface PluginHostParts {
  readonly model: string;
  readonly graph: ModelGraph;
  readonly plane: () => DataPlane;
  readonly find: (name: string) => Generation;
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

  model(name: string): ModelClient {
    this.#parts.resources.use(this.#parts.graph.connect(this.#parts.model, name));
    return new InProcessModel(name, this.#parts.plane(), this.#parts.find);
  }

  fetch(uri: string, directory: string, call: Call): Promise<void> {
    return fetchInto(uri, directory, this, call);
  }
}

/** Another model of this server. Each call holds the generation that answers it. */
class InProcessModel implements ModelClient {
  readonly #name: string;
  readonly #plane: DataPlane;
  readonly #find: (name: string) => Generation;

  constructor(name: string, plane: DataPlane, find: (name: string) => Generation) {
    this.#name = name;
    this.#plane = plane;
    this.#find = find;
  }

  infer: ModelClient["infer"] = (request, call) => this.#plane.infer(this.#name, undefined, request, call);

  async *chat(...[request, call]: Parameters<ModelClient["chat"]>): ReturnType<ModelClient["chat"]> {
    const generation = this.#find(this.#name).acquire();
    try {
      yield* this.#llm(generation).streamTokens(request, call);
    } finally {
      generation.release();
    }
  }

  async embed(...[texts, call]: Parameters<ModelClient["embed"]>): ReturnType<ModelClient["embed"]> {
    const generation = this.#find(this.#name).acquire();
    try {
      const llm = this.#llm(generation);
      if (llm.embed === undefined) throw this.#unsupported("does not make embeddings");
      return await llm.embed(texts, call);
    } finally {
      generation.release();
    }
  }

  #llm(generation: Generation): CapLLM {
    if (generation.runtime.llm === undefined) throw this.#unsupported("is not a language model");
    return generation.runtime.llm;
  }

  #unsupported(why: string): CapstanError {
    return new CapstanError("UNSUPPORTED", `Model '${this.#name}' ${why}`);
  }
}
