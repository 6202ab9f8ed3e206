import type {
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
  /** A route of a model's upstream that has no contract of its own. */
  passthrough(
    model: string,
    version: string | undefined,
    route: string,
    body: unknown,
    call: Call,
  ): Promise<Response>;
  /** The loaded language models, each with the version that answers, in order of their names. */
  languageModels(): readonly { readonly name: string; readonly version: string }[];
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
}
