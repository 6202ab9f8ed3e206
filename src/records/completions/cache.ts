import {
  type Call,
  type CapLLM,
  type ChatRequest,
  foldParts,
  type Log,
  type Part,
} from "../../contracts/index.ts";
import type { LanguageModelLayer, LayeredModel } from "../../host/plugin-host.ts";
import { fingerprintOf, isKept, keyOf } from "./key.ts";
import { Recording } from "./recording.ts";
import { StoreAccess } from "./store-access.ts";
import type { CompletionStore } from "./stores.ts";

export interface CompletionCacheParts {
  readonly store: CompletionStore;
  readonly ttlMs: number;
  readonly scope: "shared" | "key";
  readonly log: Log;
}

/** What was asked of the cache so far, and what came of it. */
export interface CompletionCounts {
  readonly hits: number;
  readonly misses: number;
  readonly stores: number;
  readonly failures: number;
}

/** A model whose answers are kept. */
interface Kept {
  readonly llm: CapLLM;
  readonly model: LayeredModel;
  readonly fingerprint: string;
}

/**
 * Answers that are given again without asking the model. Equal requests at the same time share one answer. A store that
 * fails never fails a request.
 */
export class CompletionCache {
  readonly #store: StoreAccess;
  readonly #scope: "shared" | "key";
  readonly #recordings = new Map<string, Recording>();
  /** Answers that were begun before a purge are not kept after it. */
  #purges = 0;
  hits = 0;
  misses = 0;

  constructor({ store, ttlMs, scope, log }: CompletionCacheParts) {
    this.#store = new StoreAccess(store, ttlMs, log);
    this.#scope = scope;
  }

  get counts(): CompletionCounts {
    const { stores, failures } = this.#store;
    return { hits: this.hits, misses: this.misses, stores, failures };
  }

  /** Its answers cost the model no tokens, so it goes around whatever counts them. */
  readonly layer: LanguageModelLayer = (llm, model) => {
    const kept = { llm, model, fingerprint: fingerprintOf(model) };
    const stream = (request: ChatRequest, call: Call) => this.#answer(kept, request, call);
    const predictText = llm.predictText?.bind(llm);
    return {
      ...llm,
      streamTokens: (request, call) =>
        isKept(request) ? stream(request, call) : llm.streamTokens(plain(request), call),
      ...(predictText && {
        predictText: (request, call) =>
          isKept(request) ? foldParts(stream(request, call)) : predictText(plain(request), call),
      }),
    };
  };

  /** Resolves to how many answers were removed. */
  purge(model?: string): Promise<number> {
    this.#purges += 1;
    return this.#store.purge(model);
  }

  async *#answer(of: Kept, request: ChatRequest, call: Call): AsyncGenerator<Part> {
    const key = keyOf(of.fingerprint, request, call, this.#scope);
    const kept = this.#flying(key) ? undefined : await this.#store.find(key, of.model.name, call.signal);
    call.signal.throwIfAborted();
    const flying = this.#flying(key);
    const isHit = kept !== undefined || flying !== undefined;
    if (call.record !== undefined) call.record.cache = isHit ? "hit" : "miss";
    if (isHit) this.hits += 1;
    else this.misses += 1;
    const parts = kept ?? (flying ?? this.#record(key, of, request, call)).read(call);
    for await (const part of parts) {
      call.signal.throwIfAborted();
      if (isHit) note(part, call);
      yield part;
    }
  }

  /** The answer that is being made to an equal request; one that everybody has left is of no use. */
  #flying(key: string): Recording | undefined {
    const recording = this.#recordings.get(key);
    return recording?.signal.aborted ? undefined : recording;
  }

  /** It belongs to all who read it: it has neither the signal nor the deadline of the first. */
  #record(key: string, { llm, model }: Kept, request: ChatRequest, call: Call): Recording {
    const { deadline: _, ...others } = call;
    const recording = new Recording();
    const purges = this.#purges;
    this.#recordings.set(key, recording);
    const parts = llm.streamTokens(plain(request), { ...others, signal: recording.signal });
    recording
      .record(parts)
      .then((whole) => this.#keep(key, model, whole, purges))
      .catch(() => {})
      .finally(() => {
        if (this.#recordings.get(key) === recording) this.#recordings.delete(key);
      });
    return recording;
  }

  async #keep(
    key: string,
    { name, version }: LayeredModel,
    parts: readonly Part[],
    purges: number,
  ): Promise<void> {
    const last = parts.at(-1);
    const isWhole = last?.type === "finish" && (last.reason === "stop" || last.reason === "length");
    if (isWhole && purges === this.#purges) await this.#store.keep({ key, model: name, version, parts });
  }
}

/** What is for the cache is not for the model. */
function plain(request: ChatRequest): ChatRequest {
  if (request.extra?.cache === undefined) return request;
  const { cache: _, ...extra } = request.extra;
  return { ...request, extra };
}

function note(part: Part, { record }: Call): void {
  if (record === undefined) return;
  if (part.type === "text") record.firstTokenAt ??= performance.now();
  if (part.type === "finish") record.finish = part.reason;
}
