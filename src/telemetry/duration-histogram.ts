import type { Metric, Registry } from "prom-client";
import type { Durations } from "./durations.ts";
import type { MetricName } from "./names.ts";

export interface DurationSeries {
  readonly labels: Readonly<Record<string, string>>;
  readonly durations: Durations;
}

/** A Prometheus histogram over series that are kept elsewhere; they are read at each scrape. */
export function registerDurations(
  registry: Registry,
  { name, help }: MetricName,
  series: () => Iterable<DurationSeries>,
): void {
  const metric = {
    name,
    help,
    type: "histogram",
    aggregator: "sum",
    get: async () => ({
      name,
      help,
      type: "histogram",
      aggregator: "sum",
      values: [...valuesOf(name, series())],
    }),
    reset() {},
  };
  // The library's types know only its own classes; it asks no more of a metric than these members.
  registry.registerMetric(metric as unknown as Metric);
}

function* valuesOf(name: string, series: Iterable<DurationSeries>) {
  for (const { labels, durations } of series) {
    let below = 0;
    for (const [index, bound] of [...durations.bounds, "+Inf"].entries()) {
      below += durations.buckets[index]!;
      yield { labels: { ...labels, le: bound }, value: below, metricName: `${name}_bucket` };
    }
    yield { labels, value: durations.sum, metricName: `${name}_sum` };
    yield { labels, value: durations.count, metricName: `${name}_count` };
  }
}
