import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { type DurationSeries, registerDurations } from "./duration-histogram.ts";
import { Durations } from "./durations.ts";
import { ReloadMetrics } from "./reload-metrics.ts";

interface StateRow {
  readonly name: string;
  readonly version: string;
  readonly state: string;
}

/** What is counted of one model version. */
export interface InferenceRow {
  readonly name: string;
  readonly version: string;
  readonly succeeded: number;
  readonly failed: number;
  readonly durations: Durations;
}

/** What is counted of one route and method. */
export class HttpSeries {
  readonly method: string;
  readonly path: string;
  inProgress = 0;
  readonly #byStatus = new Map<number, Durations>();

  constructor(method: string, path: string) {
    this.method = method;
    this.path = path;
  }

  finished(status: number, seconds: number): void {
    let durations = this.#byStatus.get(status);
    if (durations === undefined) {
      durations = new Durations();
      this.#byStatus.set(status, durations);
    }
    this.inProgress -= 1;
    durations.observe(seconds);
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
  readonly reloads: ReloadMetrics;
  readonly #http = new Map<string, HttpSeries>();

  /** @param restPrefix of the HTTP metrics' names (`metrics_rest_server_prefix`). */
  constructor(restPrefix = "rest_server") {
    collectDefaultMetrics({ register: this.registry });
    this.reloads = new ReloadMetrics(this.registry);
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

  /** The state of every model version. */
  watchModels(index: () => readonly StateRow[]): void {
    new Gauge({
      name: "capstan_model_state",
      help: "1 for the state a model version is in",
      labelNames: ["model", "version", "state"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { name, version, state } of index()) this.set({ model: name, version, state }, 1);
      },
    });
  }

  /** Whether the replicas' Redis answers: without it limits follow `on_redis_down`. */
  watchRedis(isReady: () => boolean): void {
    new Gauge({
      name: "capstan_redis_up",
      help: "1 while the Redis that replicas share answers",
      registers: [this.registry],
      collect() {
        this.set(isReady() ? 1 : 0);
      },
    });
  }

  /** What is known of user code when it is asked for. */
  watchUserCode(counts: {
    readonly generations: number;
    readonly failures: ReadonlyMap<string, number>;
  }): void {
    new Gauge({
      name: "capstan_user_code_generations",
      help: "User modules that are imported and not disposed",
      registers: [this.registry],
      collect() {
        this.set(counts.generations);
      },
    });
    new Counter({
      name: "capstan_user_code_stray_errors_total",
      help: "Errors that user code threw outside of an answer, as in a timer",
      labelNames: ["model"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [model, failures] of counts.failures) this.inc({ model }, failures);
      },
    });
  }

  /** What models answered; `rows` is asked at each scrape. */
  watchInference(rows: () => readonly InferenceRow[]): void {
    this.#counter("model_infer_request_success_total", "Inference requests answered", rows, "succeeded");
    this.#counter("model_infer_request_failure_total", "Inference requests that failed", rows, "failed");
    const help = "Seconds from the look-up of the model to its answer";
    registerDurations(this.registry, "model_infer_request_duration", help, () =>
      rows().map(({ name, version, durations }) => ({ labels: { model: name, version }, durations })),
    );
  }

  #counter(
    name: string,
    help: string,
    rows: () => readonly InferenceRow[],
    field: "succeeded" | "failed",
  ): void {
    new Counter({
      name,
      help,
      labelNames: ["model", "version"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const row of rows()) this.inc({ model: row.name, version: row.version }, row[field]);
      },
    });
  }

  #registerHttp(prefix: string): void {
    const all = () => [...this.#http.values()];
    const registers = [this.registry];
    new Counter({
      name: `${prefix}_requests_total`,
      help: "HTTP requests answered",
      labelNames: ["method", "path", "status_code"],
      registers,
      collect() {
        this.reset();
        for (const series of all())
          for (const { labels, durations } of series.series()) this.inc(labels, durations.count);
      },
    });
    new Gauge({
      name: `${prefix}_requests_in_progress`,
      help: "HTTP requests under way",
      labelNames: ["method", "path"],
      registers,
      collect() {
        this.reset();
        for (const { method, path, inProgress } of all()) this.set({ method, path }, inProgress);
      },
    });
    const help = "Seconds from the first byte of a request to the last of its answer";
    registerDurations(this.registry, `${prefix}_request_duration_seconds`, help, () =>
      all().flatMap((series) => [...series.series()]),
    );
  }
}
