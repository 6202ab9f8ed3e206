import type { Call } from "./call.ts";
import type { CapLLM, ChatRequest, Part } from "./cap-llm.ts";
import type { InferRequest, InferResponse, ModelSpec, Runtime } from "./runtime.ts";

/** Another model of this server, called in process. The model is looked up at each call. */
export interface ModelClient {
  infer(request: InferRequest, call: Call): Promise<InferResponse>;
  chat(request: ChatRequest, call: Call): AsyncIterable<Part>;
  embed(texts: readonly string[], call: Call): Promise<Float32Array[]>;
}

/** What a plugin may ask of its host. It is given at load, so that no plugin imports another. */
export interface Host {
  /** Loads a model with another runtime; the caller disposes it. `options` are as in `parameters.extra`. */
  runtime(name: string, model: ModelSpec, options: unknown, call: Call): Promise<Runtime>;
  /** Loads a language model through an adapter; the caller disposes it. `options` are the adapter's own. */
  adapter(name: string, model: ModelSpec, options: unknown, call: Call): Promise<CapLLM>;
  /**
   * Another model by name.
   * @throws CapstanError LOAD_FAILED when the models would call each other in a cycle.
   */
  model(name: string): ModelClient;
  /** Brings the files behind a uri into an existing directory, by whichever resolver has its scheme. */
  fetch(uri: string, directory: string, call: Call): Promise<void>;
}
