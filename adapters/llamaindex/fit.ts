import {
  type Call,
  CapstanError,
  isCapstanError,
  type ModelSpec,
  type UsedModel,
} from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";
import type { Stored } from "./stored.ts";

/** Whether the vectors of an embedding model have as many numbers as those in the storage. */
export class Fit {
  readonly #model: ModelSpec;
  readonly #embed: UsedModel;
  readonly #dimension: number | undefined;

  constructor(model: ModelSpec, embed: UsedModel, stored: Stored | undefined) {
    this.#model = model;
    this.#embed = embed;
    this.#dimension = stored?.dimension;
  }

  /**
   * Asks for one vector, unless this model was found to fit before: a reload embeds nothing. A model that is not
   * there yet is looked at with the first question, since models are loaded in any order.
   * @throws CapstanError LOAD_FAILED when it does not fit, makes no embeddings, or does not exist.
   */
  async check(call: Call): Promise<void> {
    if (this.#dimension === undefined || known.has(this.#key)) return;
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const signal = AbortSignal.any([call.signal, patience]);
    try {
      await this.vectors(["dimension"], { ...call, signal });
    } catch (cause) {
      call.signal.throwIfAborted();
      const later = patience.aborted || (isCapstanError(cause) && LATER.has(cause.code));
      if (!later) throw failed(this.#model, (cause as Error).message, cause);
      call.log.warn(
        { model: this.#model.name, err: cause },
        "The embedding model could not be looked at yet",
      );
    }
  }

  /** @throws CapstanError LOAD_FAILED when they do not fit. */
  async vectors(texts: readonly string[], call: Call): Promise<number[][]> {
    if (texts.length === 0) return [];
    const vectors = await this.#embed.embed(texts, call);
    const length = vectors[0]?.length;
    if (this.#dimension !== undefined && length !== this.#dimension) throw this.#misfit(length ?? 0);
    if (this.#dimension !== undefined) known.add(this.#key);
    return vectors.map((vector) => Array.from(vector));
  }

  get #key(): string {
    return JSON.stringify([this.#model.name, this.#embed.label, this.#dimension]);
  }

  #misfit(length: number): CapstanError {
    known.delete(this.#key);
    const found = `the vectors in storage have ${this.#dimension} numbers, and those of embed '${this.#embed.label}' ${length}`;
    return new CapstanError(
      "LOAD_FAILED",
      `${found}: name the model that made the storage, or index the documents again`,
    );
  }
}

/** For one vector; a load does not wait longer for an upstream. */
const PATIENCE_MS = 5000;

/** Pairs of model and embedding model that were found to fit, for the life of the process. */
const known = new Set<string>();

const LATER: ReadonlySet<string> = new Set([
  "NOT_READY",
  "UPSTREAM",
  "DEADLINE_EXCEEDED",
  "QUEUE_FULL",
  "RATE_LIMITED",
]);
