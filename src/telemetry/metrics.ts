import { collectDefaultMetrics, Registry } from "prom-client";
import { registerCounter, registerGauge } from "./collected.ts";
import { type DurationSeries, registerDurations } from "./duration-histogram.ts";
import { Durations } from "./durations.ts";
import { GrpcMetrics } from "./grpc-metrics.ts";
import { isLlmRoute, LLM_SECONDS } from "./llm-endpoints.ts";
import { LlmMetrics } from "./llm-metrics.ts";
import { ModelMetrics } from "./model-metrics.ts";
import { METRICS, restMetrics } from "./names.ts";
import { RecordMetrics } from "./record-metrics.ts";
import { ReloadMetrics } from "./reload-metrics.ts";

/** What is counted of one route and method. */
export class HttpSeries {
  readonly method: string;
  readonly path: string;
  inProgress = 0;
  /** Present on the routes that ask language models. */
  readonly llm: Durations | undefined;
  readonly #byStatus = new Map<number, Durations>();

  constructor(method: string, path: string) {
    this.method = method;
    this.path = path;
    this.llm = isLlmRoute(method, path) ? new Durations(LLM_SECONDS) : undefined;
  }

  finished(status: number, seconds: number): void {
    let durations = this.#byStatus.get(status);
    if (durations === undefined) {
      durations = new Durations();
      this.#byStatus.set(status, durations);
    }
    this.inProgress -= 1;
    durations.observe(seconds);
    this.llm?.observe(seconds);
  }

  *series(): Iterable<DurationSeries> {
    for (const [status, durations] of this.#byStatus) {
      yield { labels: { method: this.method, path: this.path, status_code: String(status) }, durations };
    }
  }
}

/**
 * Every metric of the server, with MLServer's names where it has them. Labels are route templates and names
 * of models that exist, so that no caller can create a series. What is counted for each request is kept in
 * plain numbers, and put into Prometheus' form when it is asked for.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly grpc: GrpcMetrics;
  readonly llm: LlmMetrics;
  readonly models: ModelMetrics;
  readonly records: RecordMetrics;
  readonly reloads: ReloadMetrics;
  readonly #http = new Map<string, HttpSeries>();

  /** @param restPrefix of the HTTP metrics' names (`metrics_rest_server_prefix`). */
  constructor(restPrefix = "rest_server") {
    collectDefaultMetrics({ register: this.registry });
    this.reloads = new ReloadMetrics(this.registry);
    this.models = new ModelMetrics(this.registry);
    this.records = new RecordMetrics(this.registry);
    this.grpc = new GrpcMetrics(this.registry);
    this.llm = new LlmMetrics(this.registry, () => this.#llmEndpoints());
    this.#registerHttp(restPrefix);
  }

  /** The counts of a route and method; `path` is the route's template. */
  http(method: string, path: string): HttpSeries {
    const key = `${method} ${path}`;
    let series = this.#http.get(key);
    if (series === undefined) {
      series = new HttpSeries(method, path);
      this.#http.set(key, series);
    }
    return series;
  }

  /** What is known of user code when it is asked for. */
  watchUserCode(counts: {
    readonly generations: number;
    readonly failures: ReadonlyMap<string, number>;
  }): void {
    registerGauge(this.registry, METRICS.generations, [], () => [{ value: counts.generations }]);
    registerCounter(this.registry, METRICS.strayErrors, ["model"], () =>
      Array.from(counts.failures, ([model, value]) => ({ labels: { model }, value })),
    );
  }

  *#llmEndpoints(): Iterable<DurationSeries> {
    for (const { path, llm } of [...this.#http.values(), ...this.grpc.methods])
      if (llm !== undefined && llm.count > 0) yield { labels: { endpoint: path }, durations: llm };
  }

  #registerHttp(prefix: string): void {
    const all = () => [...this.#http.values()];
    const { requests, inProgress, duration } = restMetrics(prefix);
    registerCounter(this.registry, requests, ["method", "path", "status_code"], () =>
      all().flatMap((series) =>
        Array.from(series.series(), ({ labels, durations }) => ({ labels, value: durations.count })),
      ),
    );
    registerGauge(this.registry, inProgress, ["method", "path"], () =>
      all().map((series) => ({
        labels: { method: series.method, path: series.path },
        value: series.inProgress,
      })),
    );
    registerDurations(this.registry, duration, () => all().flatMap((series) => [...series.series()]));
  }
}
