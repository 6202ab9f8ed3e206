import { Counter, Gauge, type Registry } from "prom-client";
import { type DurationSeries, registerDurations } from "./duration-histogram.ts";
import { Durations } from "./durations.ts";

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
    this.#loads = this.#counter("capstan_model_loads_total", "Loads and reloads, by outcome", "outcome");
    this.#swaps = this.#counter("capstan_model_swaps_total", "Loads that took the place of one that served");
    const help = "Canaries taken back because they went beyond their limits";
    this.#canariesStopped = this.#counter("capstan_canaries_stopped_total", help);
    registerDurations(registry, "capstan_model_load_duration_seconds", "Fetch, load and cases", () =>
      this.#series(),
    );
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
    this.#versionGauge("capstan_model_generation", "Number of the load that serves", () =>
      generations().map((row) => ({ ...row, value: row.generation })),
    );
    this.#versionGauge("capstan_canary_weight", "Per cent of the callers that a canary gets", () =>
      generations().map((row) => ({ ...row, value: row.canaryWeight })),
    );
    this.#sourceGauge("capstan_registry_failures", "Looks that failed since the last that did not", () =>
      sources().map(({ model, failures }) => ({ model, value: failures })),
    );
    this.#sourceGauge("capstan_registry_age_seconds", "Seconds since the last look that succeeded", () =>
      sources().flatMap(({ model, lookedAt }) =>
        lookedAt === undefined ? [] : [{ model, value: (Date.now() - lookedAt) / 1000 }],
      ),
    );
  }

  #counter<L extends string = never>(name: string, help: string, ...labels: L[]): Counter<"model" | L> {
    const labelNames: ("model" | L)[] = ["model", ...labels];
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #versionGauge(
    name: string,
    help: string,
    rows: () => readonly { name: string; version: string; value: number | undefined }[],
  ): void {
    const labelNames = ["model", "version"] as const;
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { name: model, version, value } of rows())
          if (value !== undefined) this.set({ model, version }, value);
      },
    });
  }

  /** Of a model with several sources, as one with a canary has, the worst counts. */
  #sourceGauge(name: string, help: string, rows: () => readonly { model: string; value: number }[]): void {
    new Gauge({
      name,
      help,
      labelNames: ["model"],
      registers: [this.#registry],
      collect() {
        this.reset();
        const sorted = [...rows()].sort((a, b) => a.value - b.value);
        for (const { model, value } of sorted) this.set({ model }, value);
      },
    });
  }

  #series(): DurationSeries[] {
    return Array.from(this.#durations, ([model, durations]) => ({ labels: { model }, durations }));
  }
}
