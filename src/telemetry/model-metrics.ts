import type { Registry } from "prom-client";
import { registerCounter, registerGauge } from "./collected.ts";
import { registerDurations } from "./duration-histogram.ts";
import type { Durations } from "./durations.ts";
import { METRICS, type MetricName } from "./names.ts";

interface StateRow {
  readonly name: string;
  readonly version: string;
  readonly state: string;
}

/** What is counted of one model version, over all its loads. */
export interface InferenceRow {
  readonly name: string;
  readonly version: string;
  readonly succeeded: number;
  readonly failed: number;
  readonly durations: Durations;
  /** Seconds that requests waited for their turn. */
  readonly waits: Durations;
  /** Rows of its runs. */
  readonly batchSizes: Durations;
  /** Requests that waited when a batch was put together. */
  readonly batchQueues: Durations;
  readonly cacheHits: number;
  readonly cacheMisses: number;
}

/** A model version that is served, as it is now. */
export interface ServedRow {
  readonly name: string;
  readonly version: string;
  readonly waiting: number;
  readonly active: number;
  /** Absent for a model without files. */
  readonly artifactBytes: number | undefined;
}

/** The workers of one isolated model. */
export interface WorkersRow {
  readonly name: string;
  /** Requests at the worker that was given another one. */
  readonly queues: Durations;
  /** Workers that broke off. */
  readonly failures: number;
  /** Workers that there are now. */
  readonly workers: number;
  /** Memory of those that are processes, where the system says so. */
  readonly processBytes: number | undefined;
}

const VERSION = ["model", "version"] as const;

/** Models of every kind: states, requests, queues, batches, kept answers. All is asked at each scrape. */
export class ModelMetrics {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** The state of every model version. */
  watchStates(index: () => readonly StateRow[]): void {
    registerGauge(this.#registry, METRICS.modelState, [...VERSION, "state"], () =>
      index().map(({ name, version, state }) => ({ labels: { model: name, version, state }, value: 1 })),
    );
  }

  watchInference(rows: () => readonly InferenceRow[]): void {
    const registry = this.#registry;
    const counter = (metric: MetricName, read: (row: InferenceRow) => number) =>
      registerCounter(registry, metric, VERSION, () =>
        rows().map((row) => ({ labels: labelsOf(row), value: read(row) })),
      );
    counter(METRICS.inferSucceeded, ({ succeeded }) => succeeded);
    counter(METRICS.inferFailed, ({ failed }) => failed);
    this.#histogram(METRICS.inferDuration, rows, ({ durations }) => durations);
    this.#histogram(METRICS.modelQueueWait, rows, ({ waits }) => waits);
    this.#histogram(METRICS.modelBatchSize, rows, ({ batchSizes }) => batchSizes);
    registerDurations(registry, METRICS.batchQueue, () =>
      rows().map(({ name, version, batchQueues }) => ({
        labels: { model_name: name, model_version: version },
        durations: batchQueues,
      })),
    );
    registerCounter(registry, METRICS.responseCache, [...VERSION, "result"], () =>
      rows().flatMap(cacheSamples),
    );
  }

  watchServed(rows: () => readonly ServedRow[]): void {
    const gauge = (metric: MetricName, read: (row: ServedRow) => number | undefined) =>
      registerGauge(this.#registry, metric, VERSION, () =>
        rows().flatMap((row) => {
          const value = read(row);
          return value === undefined ? [] : [{ labels: labelsOf(row), value }];
        }),
      );
    gauge(METRICS.modelActive, ({ active }) => active);
    gauge(METRICS.modelQueue, ({ waiting }) => waiting);
    gauge(METRICS.modelArtifact, ({ artifactBytes }) => artifactBytes);
  }

  watchWorkers(rows: () => readonly WorkersRow[]): void {
    registerDurations(this.#registry, METRICS.parallelQueue, () =>
      rows().map(({ name, queues }) => ({ labels: { model_name: name }, durations: queues })),
    );
    const samples = (read: (row: WorkersRow) => number | undefined) =>
      rows().flatMap((row) => {
        const value = read(row);
        return value === undefined ? [] : [{ labels: { model: row.name }, value }];
      });
    registerGauge(this.#registry, METRICS.workers, ["model"], () => samples(({ workers }) => workers));
    registerCounter(this.#registry, METRICS.workerFailures, ["model"], () =>
      samples(({ failures }) => failures),
    );
    registerGauge(this.#registry, METRICS.processMemory, ["model"], () =>
      samples(({ processBytes }) => processBytes),
    );
  }

  #histogram(
    metric: MetricName,
    rows: () => readonly InferenceRow[],
    durationsOf: (row: InferenceRow) => Durations,
  ): void {
    registerDurations(this.#registry, metric, () =>
      rows().map((row) => ({ labels: labelsOf(row), durations: durationsOf(row) })),
    );
  }
}

const labelsOf = ({ name, version }: { readonly name: string; readonly version: string }) => ({
  model: name,
  version,
});

function cacheSamples(row: InferenceRow) {
  if (row.cacheHits + row.cacheMisses === 0) return [];
  return [
    { labels: { ...labelsOf(row), result: "hit" }, value: row.cacheHits },
    { labels: { ...labelsOf(row), result: "miss" }, value: row.cacheMisses },
  ];
}
