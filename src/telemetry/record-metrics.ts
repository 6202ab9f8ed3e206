import type { Registry } from "prom-client";
import { registerCounter, registerGauge } from "./collected.ts";
import { METRICS } from "./names.ts";

/** What became of the rows of the inference log. */
export interface LogRows {
  readonly written: number;
  readonly spooled: number;
  readonly lost: number;
  readonly pending: number;
}

/** What became of the requests that a kept answer could serve. */
export interface KeptAnswers {
  readonly hits: number;
  readonly misses: number;
  readonly stores: number;
  readonly failures: number;
}

/** What is written down, kept and refused. All is asked at each scrape. */
export class RecordMetrics {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  watchLog(rows: () => LogRows): void {
    registerCounter(this.#registry, METRICS.logRows, ["outcome"], () => {
      const { written, spooled, lost } = rows();
      return Object.entries({ written, spooled, lost }).map(([outcome, value]) => ({
        labels: { outcome },
        value,
      }));
    });
    registerGauge(this.#registry, METRICS.logPending, [], () => [{ value: rows().pending }]);
  }

  watchCompletions(counts: () => KeptAnswers): void {
    registerCounter(this.#registry, METRICS.completionCache, ["result"], () => [
      { labels: { result: "hit" }, value: counts().hits },
      { labels: { result: "miss" }, value: counts().misses },
    ]);
    registerCounter(this.#registry, METRICS.completionStores, [], () => [{ value: counts().stores }]);
    registerCounter(this.#registry, METRICS.completionFailures, [], () => [{ value: counts().failures }]);
  }

  /** @param counts by reason. */
  watchRefusals(counts: ReadonlyMap<string, number>): void {
    registerCounter(this.#registry, METRICS.refusals, ["reason"], () =>
      Array.from(counts, ([reason, value]) => ({ labels: { reason }, value })),
    );
  }

  /** Whether the replicas' Redis answers: without it limits follow `on_redis_down`. */
  watchRedis(isReady: () => boolean): void {
    registerGauge(this.#registry, METRICS.redisUp, [], () => [{ value: isReady() ? 1 : 0 }]);
  }
}
