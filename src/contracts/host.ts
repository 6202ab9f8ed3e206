import type { Call } from "./call.ts";
import type { CapLLM, ChatRequest, Part } from "./cap-llm.ts";
import type { CapstanError } from "./errors.ts";
import type { InferRequest, InferResponse, ModelSpec, Runtime } from "./runtime.ts";

/** Another model of this server, called in process. The model is looked up at each call. */
export interface ModelClient {
  infer(request: InferRequest, call: Call): Promise<InferResponse>;
  chat(request: ChatRequest, call: Call): AsyncIterable<Part>;
  embed(texts: readonly string[], call: Call): Promise<Float32Array[]>;
}

/** One generation of a user's module: evaluated anew for each load, together with the files it imports. */
export interface UserCode extends AsyncDisposable {
  /** @throws CapstanError LOAD_FAILED naming what is exported instead. */
  exported(name: string): unknown;
  /** An export that may be missing. */
  optional(name: string): unknown;
  /** LOAD_FAILED that names the file; `file` is another one, relative to the folder. */
  failed(what: string, file?: string, cause?: unknown): CapstanError;
  /** Where in the user's code an error comes from (`file:line`), and its message with what to do. */
  blame(error: unknown): { readonly file?: string; readonly message: string };
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
  /**
   * Brings the files behind a uri into an existing directory, by whichever resolver has its scheme.
   * @param options that resolver's own, as in `parameters.extra.source`: credentials that another registry gave.
   */
  fetch(
    uri: string,
    directory: string,
    call: Call,
    options?: Readonly<Record<string, unknown>>,
  ): Promise<void>;
  /**
   * Imports a user's module, any TypeScript or JavaScript; the caller disposes it, which calls its exported `dispose`.
   * @param file absolute path. Bare imports are resolved from its folder, then from the server.
   * @throws CapstanError LOAD_FAILED with file and line; also for code from a registry that is not trusted.
   */
  code(file: string, call: Call): Promise<UserCode>;
  /**
   * A language model with what the host puts around each: memory of conversations, cached answers, counted tokens.
   * The `llm` runtime asks for it once; an adapter never does.
   */
  languageModel(llm: CapLLM): CapLLM;
}
