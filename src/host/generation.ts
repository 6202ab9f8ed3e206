import type { InferRequest, InferResponse, ModelSpec, Runtime } from "../contracts/index.ts";
import type { ModelSettings } from "../settings/model.ts";
import type { Admission } from "./admission.ts";
import type { Batcher } from "./batching/batcher.ts";
import type { ResponseCache } from "./response-cache.ts";
import type { Statistics } from "./statistics.ts";

/** What a loaded model version is made of. */
export interface GenerationParts {
  readonly spec: ModelSpec;
  readonly settings: ModelSettings;
  /** The settings as written, before `${VAR}`: what may be shown. */
  readonly raw: Readonly<Record<string, unknown>>;
  readonly runtime: Runtime;
  readonly statistics: Statistics;
  /** Absent: every request is let in at once. */
  readonly admission?: Admission | undefined;
  /** Absent: each request is a run of its own. */
  readonly batcher?: Batcher<InferRequest, InferResponse> | undefined;
  /** Absent: answers are not kept. */
  readonly cache?: ResponseCache | undefined;
  /** Size of the model's files; absent where it has none here. */
  readonly artifactBytes?: number | undefined;
  /** SHA-256 of the fetched files; absent where none were fetched. */
  readonly digest?: string | undefined;
  /** What else goes when the generation does, such as fetched files. */
  readonly resources: AsyncDisposableStack;
}

let lastId = 0;

/**
 * One load of one model version. It never changes; a reload makes another one. Requests hold a lease on it,
 * and it is disposed when it was retired and its last lease is back.
 */
export class Generation {
  readonly id = ++lastId;
  /** Milliseconds since the epoch. */
  readonly loadedAt = Date.now();
  readonly spec: ModelSpec;
  readonly settings: ModelSettings;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly runtime: Runtime;
  readonly statistics: Statistics;
  readonly admission: Admission | undefined;
  readonly batcher: Batcher<InferRequest, InferResponse> | undefined;
  readonly cache: ResponseCache | undefined;
  readonly artifactBytes: number | undefined;
  readonly digest: string | undefined;
  readonly #resources: AsyncDisposableStack;
  #leases = 0;
  #idle: (() => void) | undefined;
  #retirement: Promise<number> | undefined;

  constructor(parts: GenerationParts) {
    this.spec = parts.spec;
    this.settings = parts.settings;
    this.raw = parts.raw;
    this.runtime = parts.runtime;
    this.statistics = parts.statistics;
    this.admission = parts.admission;
    this.batcher = parts.batcher;
    this.cache = parts.cache;
    this.artifactBytes = parts.artifactBytes;
    this.digest = parts.digest;
    this.#resources = parts.resources;
  }

  get leases(): number {
    return this.#leases;
  }

  acquire(): this {
    this.#leases += 1;
    return this;
  }

  release(): void {
    this.#leases -= 1;
    if (this.#leases === 0) this.#idle?.();
  }

  /**
   * Waits until nothing is in flight, at most `drainMs` milliseconds (0: without end), then disposes the
   * runtime. Resolves to the number of leases that were still out. Safe to call twice.
   */
  retire(drainMs: number): Promise<number> {
    this.#retirement ??= this.#retireOnce(drainMs);
    return this.#retirement;
  }

  async #retireOnce(drainMs: number): Promise<number> {
    await this.#drained(drainMs);
    const left = this.#leases;
    await this.#resources.disposeAsync();
    return left;
  }

  #drained(drainMs: number): Promise<void> {
    if (this.#leases === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = drainMs > 0 ? setTimeout(resolve, drainMs) : undefined;
    this.#idle = () => {
      clearTimeout(timer);
      resolve();
    };
    return promise;
  }
}
