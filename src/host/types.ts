import type {
  ApplicationInput,
  Call,
  ChatRequest,
  InferRequest,
  Parameters,
  Part,
  Tensor,
  TensorSpec,
} from "../contracts/index.ts";

/** A response with the names the transports must put on it. */
export interface ModelResponse {
  readonly modelName: string;
  /** The version that answered, also when none was asked for. */
  readonly modelVersion: string;
  readonly id?: string;
  readonly parameters?: Parameters;
  readonly outputs: readonly Tensor[];
}

export interface ServerMetadata {
  readonly name: string;
  readonly version: string;
  readonly extensions: readonly string[];
}

export interface ModelMetadata {
  readonly name: string;
  /** The versions that may be asked for. */
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly parameters?: Parameters;
}

/** States of the V2 repository extension. */
export type ModelState = "LOADING" | "READY" | "UNLOADING" | "UNAVAILABLE";

export interface IndexEntry {
  readonly name: string;
  readonly version: string;
  readonly state: ModelState;
  readonly reason: string;
}

/** A count of events and the nanoseconds they took together. */
export interface DurationCount {
  readonly count: number;
  readonly ns: number;
}

/** Statistics of one model version, in the terms of the V2 statistics extension. */
export interface ModelStatistics {
  readonly name: string;
  readonly version: string;
  /** Milliseconds since the epoch; 0 before the first request. */
  readonly lastInference: number;
  /** Rows inferred. */
  readonly inferenceCount: number;
  /** Runs of the model. */
  readonly executionCount: number;
  readonly inferenceStats: Readonly<
    Record<
      | "success"
      | "fail"
      | "queue"
      | "compute_input"
      | "compute_infer"
      | "compute_output"
      | "cache_hit"
      | "cache_miss",
      DurationCount
    >
  >;
  readonly batchStats: readonly {
    readonly batchSize: number;
    readonly computeInput: DurationCount;
    readonly computeInfer: DurationCount;
    readonly computeOutput: DurationCount;
  }[];
}

/** The settings in force for one model version; secrets are never in it. */
export type ModelConfig = Readonly<Record<string, unknown>> & {
  readonly name: string;
  readonly platform: string;
  readonly max_batch_size: number;
};

/** A language model as the transports list it. */
export interface LanguageModelEntry {
  readonly name: string;
  /** The version that answers. */
  readonly version: string;
  /** Present on an application that takes values by name. */
  readonly inputs?: readonly ApplicationInput[];
  /** Present where an upstream answers what the server itself has no form for. */
  readonly upstream?: true;
}

/**
 * Where every transport ends. `version` absent or "" means the newest loaded one.
 * Every method throws CapstanError: NOT_FOUND for an unknown model or version, NOT_READY for one that is
 * known and not loaded.
 */
export interface DataPlane {
  infer(
    model: string,
    version: string | undefined,
    request: InferRequest,
    call: Call,
  ): Promise<ModelResponse>;
  inferStream(
    model: string,
    version: string | undefined,
    request: InferRequest,
    call: Call,
  ): AsyncIterable<ModelResponse>;
  /** Whether the model may give several answers to one request. */
  streams(model: string, version: string | undefined): boolean;
  /** The parts of a language model's answer. UNSUPPORTED for a model that is none. */
  chat(model: string, version: string | undefined, request: ChatRequest, call: Call): AsyncIterable<Part>;
  /** One vector for each text. */
  embed(
    model: string,
    version: string | undefined,
    texts: readonly string[],
    call: Call,
  ): Promise<Float32Array[]>;
  /** The ids of a text's tokens, as the model counts them. */
  tokenize(model: string, version: string | undefined, text: string, call: Call): Promise<readonly number[]>;
  /** A route of a model's upstream that has no contract of its own. */
  passthrough(
    model: string,
    version: string | undefined,
    route: string,
    body: unknown,
    call: Call,
  ): Promise<Response>;
  /** The loaded language models in order of their names. */
  languageModels(): readonly LanguageModelEntry[];
  /** The loaded language model of that name; undefined where there is none. */
  languageModel(name: string): LanguageModelEntry | undefined;
  signature(model: string, version: string | undefined): readonly TensorSpec[] | undefined;
  serverMetadata(): ServerMetadata;
  serverReady(): boolean;
  modelMetadata(model: string, version?: string): ModelMetadata;
  /** False for a model that is known and not loaded. */
  modelReady(model: string, version?: string): boolean;
  modelConfig(model: string, version?: string): ModelConfig;
  /** All models when no name is given. */
  statistics(model?: string, version?: string): readonly ModelStatistics[];
}

/** The V2 repository extension. */
export interface RepositoryControl {
  index(options?: { readonly ready?: boolean }): readonly IndexEntry[];
  /**
   * Loads, or loads anew, all versions of a model. `config` is the text of a model-settings.json override.
   * @throws CapstanError NOT_FOUND, or LOAD_FAILED with the reason.
   */
  load(model: string, config: string | undefined, call: Call): Promise<void>;
  /** Stops serving all versions; what is in flight is answered first. */
  unload(model: string, call: Call): Promise<void>;
  /** More of each entry than the V2 index has. */
  details(): readonly ModelDetails[];
  /**
   * The version before serves again, until the alias moves.
   * @throws CapstanError NOT_FOUND when there is none, UNSUPPORTED for a model that is of no registry.
   */
  rollback(model: string, call: Call): Promise<void>;
  /** Stays on a version, the one that serves when none is named, until {@link unpin}. */
  pin(model: string, version: string | undefined, call: Call): Promise<void>;
  unpin(model: string, call: Call): Promise<void>;
  /** Asks the registry now. @throws CapstanError NOT_FOUND when nothing here is of that model or uri. */
  notify(changed: { readonly model?: string | undefined; readonly uri?: string | undefined }): Promise<void>;
}

/** A model version as an administrator sees it. */
export interface ModelDetails extends IndexEntry {
  /** As written in the settings. */
  readonly uri?: string | undefined;
  readonly revision?: string | undefined;
  /** SHA-256 of the fetched files and their names, of what serves. */
  readonly digest?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly loadedAt?: number | undefined;
  readonly generation?: number | undefined;
  /** `pinned` or `rolled back`, or why the registry is not followed. */
  readonly note?: string | undefined;
  /** Per cent of the requests that name no version. */
  readonly canaryWeight?: number | undefined;
}
