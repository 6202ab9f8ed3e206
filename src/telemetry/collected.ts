import { Counter, Gauge, type Registry } from "prom-client";
import type { MetricName } from "./names.ts";

/** A value of one series, as it is when Prometheus asks. */
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

type Samples = () => Iterable<Sample>;

/** A gauge whose values are kept elsewhere; `samples` is asked at each scrape. */
export function registerGauge(
  registry: Registry,
  metric: MetricName,
  labelNames: readonly string[],
  samples: Samples,
): void {
  new Gauge({
    ...metric,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels = {}, value } of samples()) this.set(labels, value);
    },
  });
}

/** As {@link registerGauge}, of what only grows; samples of equal labels add up. */
export function registerCounter(
  registry: Registry,
  metric: MetricName,
  labelNames: readonly string[],
  samples: Samples,
): void {
  new Counter({
    ...metric,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels = {}, value } of samples()) this.inc(labels, value);
    },
  });
}
