import {
  type Call,
  type CapLLM,
  type ChatRequest,
  foldParts,
  type Log,
  type Part,
} from "../../contracts/index.ts";
import type { LanguageModelLayer, LayeredModel } from "../../host/plugin-host.ts";
import { isKept, keyOf } from "./key.ts";
import { Recording } from "./recording.ts";
import type { CompletionStore } from "./stores.ts";

export interface CompletionCacheParts {
  readonly store: CompletionStore;
  readonly ttlMs: number;
  readonly scope: "shared" | "key";
  readonly log: Log;
}

/**
 * Answers that are given again without asking the model. Equal requests at the same time share one answer. A store that
 * fails never fails a request.
 */
export class CompletionCache {
  readonly #parts: CompletionCacheParts;
  readonly #recordings = new Map<string, Recording>();
  hits = 0;
  misses = 0;
  failures = 0;

  constructor(parts: CompletionCacheParts) {
    this.#parts = parts;
  }

  /** Its answers cost the model no tokens, so it goes around whatever counts them. */
  readonly layer: LanguageModelLayer = (llm, model) => {
    const stream = (request: ChatRequest, call: Call) => this.#answer(llm, model, request, call);
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

  purge(model?: string): Promise<number> {
    return this.#parts.store.purge(model);
  }

  async *#answer(llm: CapLLM, model: LayeredModel, request: ChatRequest, call: Call): AsyncGenerator<Part> {
    const key = keyOf(model, request, call, this.#parts.scope);
    const kept = this.#recordings.has(key) ? undefined : await this.#find(key);
    const flying = this.#recordings.get(key);
    const isHit = kept !== undefined || flying !== undefined;
    if (call.record !== undefined) call.record.cache = isHit ? "hit" : "miss";
    if (isHit) this.hits += 1;
    else this.misses += 1;
    const parts = kept ?? (flying ?? this.#record(key, llm, model, request, call)).read(call);
    for await (const part of parts) {
      call.signal.throwIfAborted();
      if (isHit) note(part, call);
      yield part;
    }
  }

  #record(key: string, llm: CapLLM, model: LayeredModel, request: ChatRequest, call: Call): Recording {
    const recording = new Recording();
    this.#recordings.set(key, recording);
    const parts = llm.streamTokens(plain(request), { ...call, signal: recording.signal });
    recording
      .record(parts)
      .then((whole) => this.#keep(key, model, whole))
      .catch(() => {})
      .finally(() => this.#recordings.delete(key));
    return recording;
  }

  async #find(key: string): Promise<readonly Part[] | undefined> {
    try {
      return await this.#parts.store.get(key);
    } catch (err) {
      this.#failed(err, "kept answers cannot be read; the model is asked");
      return undefined;
    }
  }

  async #keep(key: string, { name, version }: LayeredModel, parts: readonly Part[]): Promise<void> {
    const last = parts.at(-1);
    if (last?.type !== "finish" || (last.reason !== "stop" && last.reason !== "length")) return;
    try {
      await this.#parts.store.set({ key, model: name, version, parts }, this.#parts.ttlMs);
    } catch (err) {
      this.#failed(err, "an answer could not be kept");
    }
  }

  #failed(err: unknown, message: string): void {
    this.failures += 1;
    this.#parts.log.warn({ err }, message);
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
