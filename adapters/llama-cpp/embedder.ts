import type { LlamaEmbeddingContext, LlamaModel } from "node-llama-cpp";
import {
  type Call,
  type CapLLM,
  CapstanError,
  type Embeddings,
  invalid,
  type ModelSpec,
  type Part,
} from "../../src/contracts/index.ts";
import { abortable } from "./abortable.ts";
import { failed } from "./artifact.ts";
import { why } from "./library.ts";
import { DEFAULT_CONTEXT, type LlamaOptions } from "./options.ts";

/** `pooling_type` in GGUF (llama.cpp, enum llama_pooling_type). */
const POOLING = { none: 0, rank: 4 } as const;

/** Models made for embeddings say how they are pooled; others write text. */
export function isEmbedder({ fileInfo }: LlamaModel): boolean {
  const { pooling_type: pooling } = fileInfo.architectureMetadata as { readonly pooling_type?: number };
  return pooling !== undefined && pooling !== POOLING.none;
}

/** A model that gives vectors. It owns the model and its context. */
export class Embedder implements CapLLM {
  readonly #name: string;
  readonly #model: LlamaModel;
  readonly #context: LlamaEmbeddingContext;
  readonly #normalize: boolean;
  /** One text after the other: a context has one sequence. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(name: string, model: LlamaModel, context: LlamaEmbeddingContext, normalize: boolean) {
    this.#name = name;
    this.#model = model;
    this.#context = context;
    this.#normalize = normalize;
  }

  /** @throws CapstanError LOAD_FAILED for a reranker, or too little memory. */
  static async open(
    spec: ModelSpec,
    model: LlamaModel,
    options: LlamaOptions,
    { signal }: Call,
  ): Promise<Embedder> {
    const { pooling_type: pooling } = model.fileInfo.architectureMetadata as {
      readonly pooling_type?: number;
    };
    if (pooling === POOLING.rank) throw failed(spec, "it is a reranker, which llama-cpp does not serve here");
    const most = Math.min(model.trainContextSize, DEFAULT_CONTEXT);
    const { threads } = options;
    const context = model.createEmbeddingContext({
      contextSize: options.context_size ?? { max: most },
      batchSize: Math.max(options.batch_size, options.context_size ?? most),
      threads,
      createSignal: signal,
    });
    const opened = await context.catch(async (cause) => {
      signal.throwIfAborted();
      throw failed(spec, `no context for embeddings: ${await why(cause)}`, cause);
    });
    return new Embedder(spec.name, model, opened, options.normalize);
  }

  // biome-ignore lint/correctness/useYield: it has nothing to yield
  async *streamTokens(): AsyncGenerator<Part> {
    throw invalid(`Model '${this.#name}' gives embeddings and writes no text`, { param: "model" });
  }

  async embed(texts: readonly string[], { signal }: Call): Promise<Embeddings> {
    const vectors: Float32Array[] = [];
    for (const text of texts) vectors.push(await abortable(this.#next(text, signal), signal));
    return { vectors, inputTokens: texts.map((text) => this.#context.calculateInputLength(text)) };
  }

  async tokenize(text: string): Promise<readonly number[]> {
    return this.#model.tokenize(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    await this.#context.dispose();
    await this.#model.dispose();
  }

  #next(text: string, signal: AbortSignal): Promise<Float32Array> {
    const work = this.#last.then(() => this.#vector(text, signal));
    this.#last = work.catch(() => {});
    return work;
  }

  async #vector(text: string, signal: AbortSignal): Promise<Float32Array> {
    signal.throwIfAborted();
    if (this.#context.disposed)
      throw new CapstanError("NOT_READY", `Model '${this.#name}' is being unloaded`);
    if (text === "") throw invalid("An empty text has no embedding", { param: "input" });
    const { vector } = await this.#context.getEmbeddingFor(text).catch((cause: Error) => {
      throw invalid(cause.message, { param: "input", cause });
    });
    return this.#normalize ? normalized(vector) : Float32Array.from(vector);
  }
}

function normalized(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return Float32Array.from(vector, (value) => value / length);
}
