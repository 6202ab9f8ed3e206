import { Durations } from "../telemetry/durations.ts";
import type { DurationCount, ModelStatistics } from "./types.ts";

type Counter = { count: number; ns: number };
const counter = (): Counter => ({ count: 0, ns: 0 });
const NS_PER_MS = 1e6;
const MS_PER_SECOND = 1000;
/** Bounds of histograms of sizes. */
const SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

function add(target: Counter, ms: number): void {
  target.count += 1;
  target.ns += Math.round(ms * NS_PER_MS);
}

const frozen = (source: Counter): DurationCount => ({ count: source.count, ns: source.ns });

/** How long the parts of one request took, in milliseconds. */
export interface RequestTimes {
  readonly rows: number;
  readonly inputMs: number;
  readonly inferMs: number;
  readonly outputMs: number;
}

/**
 * Counts of one model version, kept across its generations.
 * Shape and meaning: V2 statistics extension (an execution may serve several requests).
 */
export class Statistics {
  readonly #stats = {
    success: counter(),
    fail: counter(),
    queue: counter(),
    compute_input: counter(),
    compute_infer: counter(),
    compute_output: counter(),
    cache_hit: counter(),
    cache_miss: counter(),
  };
  readonly #batches = new Map<number, { input: Counter; infer: Counter; output: Counter }>();
  /** Seconds from the look-up of the model to its answer or failure. */
  readonly durations = new Durations();
  /** Seconds that requests waited for their turn. */
  readonly waits = new Durations();
  readonly batchSizes = new Durations(SIZES);
  /** Requests that waited when a batch was put together. */
  readonly batchQueues = new Durations(SIZES);
  #lastInference = 0;
  #rows = 0;
  #executions = 0;
  #abandoned = 0;

  succeeded(ms: number): void {
    add(this.#stats.success, ms);
    this.durations.observe(ms / MS_PER_SECOND);
    this.#lastInference = Date.now();
  }

  /** @param abandoned by its caller: it counts among those that failed, and says nothing about the model. */
  failed(ms: number, abandoned = false): void {
    add(this.#stats.fail, ms);
    if (abandoned) this.#abandoned += 1;
    this.durations.observe(ms / MS_PER_SECOND);
  }

  /** A request that waited for its turn. */
  queued(ms: number): void {
    add(this.#stats.queue, ms);
    this.waits.observe(ms / MS_PER_SECOND);
  }

  /** A request that was answered; its run may have served others, too. */
  computed(times: RequestTimes): void {
    this.#rows += times.rows;
    add(this.#stats.compute_input, times.inputMs);
    add(this.#stats.compute_infer, times.inferMs);
    add(this.#stats.compute_output, times.outputMs);
  }

  /** One run of the model. */
  ran(rows: number, inferMs: number): void {
    this.#executions += 1;
    this.batchSizes.observe(rows);
    const batch = this.#batch(rows);
    add(batch.input, 0);
    add(batch.infer, inferMs);
    add(batch.output, 0);
  }

  /** A request to a model whose answers are kept. */
  cached(hit: boolean, ms: number): void {
    add(hit ? this.#stats.cache_hit : this.#stats.cache_miss, ms);
  }

  get counts() {
    const { success, fail, cache_hit, cache_miss } = this.#stats;
    return {
      succeeded: success.count,
      failed: fail.count,
      abandoned: this.#abandoned,
      cacheHits: cache_hit.count,
      cacheMisses: cache_miss.count,
    };
  }

  snapshot(name: string, version: string): ModelStatistics {
    const stats = Object.entries(this.#stats).map(([key, value]) => [key, frozen(value)]);
    return {
      name,
      version,
      lastInference: this.#lastInference,
      inferenceCount: this.#rows,
      executionCount: this.#executions,
      inferenceStats: Object.fromEntries(stats) as ModelStatistics["inferenceStats"],
      batchStats: [...this.#batches].map(([batchSize, batch]) => ({
        batchSize,
        computeInput: frozen(batch.input),
        computeInfer: frozen(batch.infer),
        computeOutput: frozen(batch.output),
      })),
    };
  }

  #batch(rows: number) {
    let batch = this.#batches.get(rows);
    if (batch === undefined) {
      batch = { input: counter(), infer: counter(), output: counter() };
      if (this.#batches.size < MAX_BATCH_SIZES) this.#batches.set(rows, batch);
    }
    return batch;
  }
}

/** Callers choose the row count of a request: without a bound they could grow the table for ever. */
const MAX_BATCH_SIZES = 256;
