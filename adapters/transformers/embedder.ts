import type { Tensor } from "@huggingface/transformers";
import {
  type Call,
  type CapLLM,
  CapstanError,
  type Embeddings,
  invalid,
  type ModelSpec,
  type Part,
} from "../../src/contracts/index.ts";
import type { ModelFolder } from "./folder.ts";
import type { Loaded } from "./library.ts";

/** A model that gives vectors. It owns the model and its sessions. */
export class Embedder implements CapLLM {
  readonly #name: string;
  readonly #loaded: Loaded;
  readonly #pooling: ModelFolder["pooling"];
  readonly #normalize: boolean;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(spec: ModelSpec, loaded: Loaded, pooling: ModelFolder["pooling"], normalize: boolean) {
    this.#name = spec.name;
    this.#loaded = loaded;
    this.#pooling = pooling;
    this.#normalize = normalize;
  }

  // biome-ignore lint/correctness/useYield: it has nothing to yield
  async *streamTokens(): AsyncGenerator<Part> {
    throw invalid(`Model '${this.#name}' gives embeddings and writes no text`, { param: "model" });
  }

  async embed(texts: readonly string[], { signal }: Call): Promise<Embeddings> {
    const vectors: Float32Array[] = [];
    const inputTokens: number[] = [];
    for (const text of texts) {
      signal.throwIfAborted();
      const { vector, tokens } = await this.#inTurn(() => this.#vector(text));
      vectors.push(vector);
      inputTokens.push(tokens);
    }
    signal.throwIfAborted();
    return { vectors, inputTokens };
  }

  async tokenize(text: string): Promise<readonly number[]> {
    return this.#loaded.tokenizer.encode(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last.catch(() => {});
    await this.#loaded.model.dispose();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new CapstanError("NOT_READY", `Model '${this.#name}' is being unloaded`);
    const done = this.#last.catch(() => {}).then(work);
    this.#last = done;
    return done;
  }

  /** What is too long for the model is cut, and not counted. */
  async #vector(text: string): Promise<{ readonly vector: Float32Array; readonly tokens: number }> {
    if (text === "") throw invalid("An empty text has no embedding", { param: "input" });
    const { tokenizer, model } = this.#loaded;
    const inputs = await tokenizer(text, { truncation: true });
    const output = (await model(inputs)) as Readonly<Record<string, Tensor>>;
    const tokens = output.sentence_embedding ?? output.token_embeddings ?? output.last_hidden_state;
    if (tokens === undefined) {
      throw new CapstanError("UNSUPPORTED", `Model '${this.#name}' has no output that is an embedding`);
    }
    const vector =
      tokens.dims.length === 2 ? Float32Array.from(tokens.data as Float32Array) : this.#pooled(tokens);
    const { input_ids: ids } = inputs as { readonly input_ids: Tensor };
    return { vector: this.#normalize ? normalized(vector) : vector, tokens: ids.size };
  }

  /** One text at a time, so there is no padding to leave out. */
  #pooled(tokens: Tensor): Float32Array {
    const [, count = 1, size = 0] = tokens.dims;
    const data = tokens.data as Float32Array;
    if (this.#pooling === "cls") return Float32Array.from(data.subarray(0, size));
    const sum = new Float32Array(size);
    for (let at = 0; at < count * size; at++) sum[at % size]! += data[at]! / count;
    return sum;
  }
}

function normalized(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}
