import type { Registry } from "prom-client";
import { registerCounter } from "./collected.ts";
import { registerDurations } from "./duration-histogram.ts";
import { Durations } from "./durations.ts";
import { isLlmMethod, LLM_SECONDS } from "./llm-endpoints.ts";
import { METRICS } from "./names.ts";

/** The labels of one method. Only methods that exist have one, so that no caller can create a series. */
export type RpcLabels = Readonly<Record<"grpc_type" | "grpc_service" | "grpc_method", string>>;

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const RPC = ["grpc_type", "grpc_service", "grpc_method"] as const;

/** What is counted of one method. */
export class RpcSeries {
  readonly labels: RpcLabels;
  /** As in a call's path. */
  readonly path: string;
  readonly durations = new Durations(SECONDS);
  /** Present on the methods that ask language models. */
  readonly llm: Durations | undefined;
  readonly #byCode = new Map<string, number>();
  begun = 0;

  constructor(labels: RpcLabels) {
    this.labels = labels;
    this.path = `/${labels.grpc_service}/${labels.grpc_method}`;
    this.llm = isLlmMethod(this.path) ? new Durations(LLM_SECONDS) : undefined;
  }

  started(): void {
    this.begun += 1;
  }

  /** @param code name of the gRPC status, such as `NOT_FOUND`. */
  handled(code: string, seconds: number): void {
    this.#byCode.set(code, (this.#byCode.get(code) ?? 0) + 1);
    this.durations.observe(seconds);
    this.llm?.observe(seconds);
  }

  *handledByCode() {
    for (const [grpc_code, value] of this.#byCode) yield { labels: { ...this.labels, grpc_code }, value };
  }
}

/** Counts and times of gRPC calls, with the names and labels of py_grpc_prometheus, which MLServer uses. */
export class GrpcMetrics {
  readonly #methods = new Map<string, RpcSeries>();

  constructor(registry: Registry) {
    const all = () => [...this.#methods.values()];
    registerCounter(registry, METRICS.grpcStarted, RPC, () =>
      all().map(({ labels, begun }) => ({ labels, value: begun })),
    );
    registerCounter(registry, METRICS.grpcHandled, [...RPC, "grpc_code"], () =>
      all().flatMap((method) => [...method.handledByCode()]),
    );
    registerDurations(registry, METRICS.grpcDuration, all);
  }

  /** The counts of one method. */
  method(labels: RpcLabels): RpcSeries {
    const key = `/${labels.grpc_service}/${labels.grpc_method}`;
    let series = this.#methods.get(key);
    if (series === undefined) {
      series = new RpcSeries(labels);
      this.#methods.set(key, series);
    }
    return series;
  }

  get methods(): Iterable<RpcSeries> {
    return this.#methods.values();
  }
}
