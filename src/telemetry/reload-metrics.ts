import { Counter, type Registry } from "prom-client";
import { registerGauge } from "./collected.ts";
import { type DurationSeries, registerDurations } from "./duration-histogram.ts";
import { Durations } from "./durations.ts";
import { METRICS, type MetricName } from "./names.ts";

/** A model version, as far as its loads are concerned. */
export interface GenerationRow {
  readonly name: string;
  readonly version: string;
  /** Absent for one that is not served. */
  readonly generation?: number | undefined;
  /** Per cent; absent for one that is no canary. */
  readonly canaryWeight?: number | undefined;
}

/** One uri of a model that is looked up in a registry. */
export interface SourceRow {
  readonly model: string;
  /** Looks that failed since the last that did not. */
  readonly failures: number;
  /** Milliseconds since the epoch of the last look that succeeded. */
  readonly lookedAt: number | undefined;
}

/** How models come and go: loads, swaps, canaries, and the registries that say what is to be served. */
export class ReloadMetrics {
  readonly #registry: Registry;
  readonly #loads: Counter<"model" | "outcome">;
  readonly #swaps: Counter<"model">;
  readonly #canariesStopped: Counter<"model">;
  readonly #durations = new Map<string, Durations>();

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#loads = this.#counter(METRICS.loads, "outcome");
    this.#swaps = this.#counter(METRICS.swaps);
    this.#canariesStopped = this.#counter(METRICS.canariesStopped);
    registerDurations(registry, METRICS.loadDuration, () => this.#series());
  }

  /** @param seconds from the beginning of the load, its wait for others not included. */
  loaded(model: string, succeeded: boolean, seconds: number): void {
    this.#loads.inc({ model, outcome: succeeded ? "success" : "failure" });
    let durations = this.#durations.get(model);
    if (durations === undefined) {
      durations = new Durations();
      this.#durations.set(model, durations);
    }
    durations.observe(seconds);
  }

  swapped(model: string): void {
    this.#swaps.inc({ model });
  }

  canaryStopped(model: string): void {
    this.#canariesStopped.inc({ model });
  }

  /** Both are asked at each scrape. */
  watch(generations: () => readonly GenerationRow[], sources: () => readonly SourceRow[]): void {
    this.#versionGauge(METRICS.modelGeneration, generations, ({ generation }) => generation);
    this.#versionGauge(METRICS.canaryWeight, generations, ({ canaryWeight }) => canaryWeight);
    this.#sourceGauge(METRICS.registryFailures, sources, ({ failures }) => failures);
    this.#sourceGauge(METRICS.registryAge, sources, ({ lookedAt }) =>
      lookedAt === undefined ? undefined : (Date.now() - lookedAt) / 1000,
    );
  }

  #counter<L extends string = never>(metric: MetricName, ...labels: L[]): Counter<"model" | L> {
    const labelNames: ("model" | L)[] = ["model", ...labels];
    return new Counter({ ...metric, labelNames, registers: [this.#registry] });
  }

  #versionGauge(
    metric: MetricName,
    rows: () => readonly GenerationRow[],
    read: (row: GenerationRow) => number | undefined,
  ): void {
    registerGauge(this.#registry, metric, ["model", "version"], () =>
      rows().flatMap((row) => {
        const value = read(row);
        return value === undefined ? [] : [{ labels: { model: row.name, version: row.version }, value }];
      }),
    );
  }

  /** Of a model with several sources, as one with a canary has, the worst counts: of equal labels the last is shown. */
  #sourceGauge(
    metric: MetricName,
    rows: () => readonly SourceRow[],
    read: (row: SourceRow) => number | undefined,
  ): void {
    registerGauge(this.#registry, metric, ["model"], () =>
      rows()
        .flatMap((row) => {
          const value = read(row);
          return value === undefined ? [] : [{ labels: { model: row.model }, value }];
        })
        .sort((a, b) => a.value - b.value),
    );
  }

  #series(): DurationSeries[] {
    return Array.from(this.#durations, ([model, durations]) => ({ labels: { model }, durations }));
  }
}
