import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

interface StateRow {
  readonly name: string;
  readonly version: string;
  readonly state: string;
}

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * Every metric of the server, with MLServer's names where it has them. Labels are route templates and names
 * of models that exist, so that no caller can create a series.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #success: Counter<"model" | "version">;
  readonly #failure: Counter<"model" | "version">;
  readonly #duration: Histogram<"model" | "version">;
  readonly #loads: Counter<"model" | "outcome">;
  readonly #restRequests: Counter<"method" | "path" | "status_code">;
  readonly #restDuration: Histogram<"method" | "path" | "status_code">;
  readonly #restInProgress: Gauge<"method" | "path">;

  /** @param restPrefix of the HTTP metrics' names (`metrics_rest_server_prefix`). */
  constructor(restPrefix = "rest_server") {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const model = ["model", "version"] as const;
    this.#success = new Counter({
      name: "model_infer_request_success_total",
      help: "Inference requests answered",
      labelNames: model,
      registers,
    });
    this.#failure = new Counter({
      name: "model_infer_request_failure_total",
      help: "Inference requests that failed",
      labelNames: model,
      registers,
    });
    this.#duration = new Histogram({
      name: "model_infer_request_duration",
      help: "Seconds from the look-up of the model to its answer",
      labelNames: model,
      buckets: SECONDS,
      registers,
    });
    this.#loads = new Counter({
      name: "capstan_model_loads_total",
      help: "Loads and reloads, by outcome",
      labelNames: ["model", "outcome"],
      registers,
    });
    const rest = ["method", "path", "status_code"] as const;
    this.#restRequests = new Counter({
      name: `${restPrefix}_requests_total`,
      help: "HTTP requests answered",
      labelNames: rest,
      registers,
    });
    this.#restDuration = new Histogram({
      name: `${restPrefix}_request_duration_seconds`,
      help: "Seconds from the first byte of a request to the last of its answer",
      labelNames: rest,
      buckets: SECONDS,
      registers,
    });
    this.#restInProgress = new Gauge({
      name: `${restPrefix}_requests_in_progress`,
      help: "HTTP requests under way",
      labelNames: ["method", "path"],
      registers,
    });
  }

  /** The state of every model version, read when metrics are asked for. */
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

  inferred(model: string, version: string, succeeded: boolean, seconds: number): void {
    const labels = { model, version };
    (succeeded ? this.#success : this.#failure).inc(labels);
    this.#duration.observe(labels, seconds);
  }

  loaded(model: string, succeeded: boolean): void {
    this.#loads.inc({ model, outcome: succeeded ? "success" : "failure" });
  }

  restStarted(method: string, path: string): void {
    this.#restInProgress.inc({ method, path });
  }

  restFinished(method: string, path: string, status: number, seconds: number): void {
    const labels = { method, path, status_code: String(status) };
    this.#restInProgress.dec({ method, path });
    this.#restRequests.inc(labels);
    this.#restDuration.observe(labels, seconds);
  }
}
