import { Counter, Histogram, type Registry } from "prom-client";

/** The labels of one method. Only methods that exist have one, so that no caller can create a series. */
export type RpcLabels = Readonly<Record<"grpc_type" | "grpc_service" | "grpc_method", string>>;

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const RPC = ["grpc_type", "grpc_service", "grpc_method"] as const;

/** Counts and times of gRPC calls, with the names and labels of py_grpc_prometheus, which MLServer uses. */
export class GrpcMetrics {
  readonly #started: Counter<keyof RpcLabels>;
  readonly #handled: Counter<keyof RpcLabels | "grpc_code">;
  readonly #seconds: Histogram<keyof RpcLabels>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#started = new Counter({
      name: "grpc_server_started_total",
      help: "RPCs started on the server",
      labelNames: RPC,
      registers,
    });
    this.#handled = new Counter({
      name: "grpc_server_handled_total",
      help: "RPCs completed on the server, regardless of success or failure",
      labelNames: [...RPC, "grpc_code"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "grpc_server_handling_seconds",
      help: "Seconds from the start of an RPC to its status",
      labelNames: RPC,
      buckets: SECONDS,
      registers,
    });
  }

  started(rpc: RpcLabels): void {
    this.#started.inc(rpc);
  }

  /** @param code name of the gRPC status, such as `NOT_FOUND`. */
  handled(rpc: RpcLabels, code: string, seconds: number): void {
    this.#handled.inc({ ...rpc, grpc_code: code });
    this.#seconds.observe(rpc, seconds);
  }
}
