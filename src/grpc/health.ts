import { setTimeout as delay } from "node:timers/promises";
import type { Server } from "@grpc/grpc-js";
import { CapstanError } from "../contracts/index.ts";
import { Exchange, type OutgoingStream } from "./exchange.ts";
import { grpc } from "./generated/health.js";
import { GRPCInferenceService, Health, LLMService } from "./generated/services.ts";
import { Outlet } from "./outlet.ts";
import type { GrpcParts } from "./parts.ts";
import { addServerStream, addUnary, decodeRequest } from "./rpc.ts";
import { requestIdMetadata, statusOf } from "./status.ts";

const { NOT_SERVING, SERVICE_UNKNOWN, SERVING } = grpc.health.v1.HealthCheckResponse.ServingStatus;

/** "" is the server as a whole. */
const SERVICES: readonly string[] = [
  "",
  ...[GRPCInferenceService.ModelInfer, LLMService.ChatCompletion, Health.Check].map(serviceOf),
];

/** How often a watched status is looked at. */
const WATCH_MS = 500;

/**
 * grpc.health.v1: a service is serving when the server is ready (`readiness`).
 * @param stopping aborts when the server closes: watchers are told, and their streams end.
 */
export function addHealth(server: Server, parts: GrpcParts, stopping: AbortSignal): void {
  const statusOfService = (service: string): number => {
    if (!SERVICES.includes(service)) return SERVICE_UNKNOWN;
    return !stopping.aborted && !parts.stopping() && parts.plane.serverReady() ? SERVING : NOT_SERVING;
  };
  addUnary(server, parts, Health.Check, ({ service }) => {
    const status = statusOfService(service);
    if (status !== SERVICE_UNKNOWN) return { status };
    throw new CapstanError(
      "NOT_FOUND",
      `There is no service '${service}'; health is known of ${SERVICES.slice(1).join(", ")}`,
    );
  });
  addUnary(server, parts, Health.List, () => ({
    statuses: Object.fromEntries(SERVICES.map((service) => [service, { status: statusOfService(service) }])),
  }));
  addServerStream(server, Health.Watch, (stream) => {
    const exchange = new Exchange(stream, Health.Watch.path, parts);
    void watch(stream, exchange, statusOfService, stopping).catch((error) =>
      stream.emit("error", statusOf(exchange, error)),
    );
  });
}

/** The status now, and again whenever it changes; an unknown service is watched, too. */
async function watch(
  stream: OutgoingStream,
  exchange: Exchange,
  statusOfService: (service: string) => number,
  stopping: AbortSignal,
): Promise<void> {
  const { service } = decodeRequest(Health.Watch, stream.request);
  stream.sendMetadata(requestIdMetadata(exchange.requestId));
  const outlet = new Outlet(stream);
  const gone = new AbortController();
  stream.once("close", () => gone.abort());
  const wake = AbortSignal.any([gone.signal, stopping]);
  for (let known: number | undefined; ; ) {
    const status = statusOfService(service);
    if (status !== known && !(await outlet.write(Health.Watch.responseSerialize({ status })))) return;
    known = status;
    if (stopping.aborted) throw new CapstanError("NOT_READY", "The server is stopping");
    await delay(WATCH_MS, undefined, { signal: wake, ref: false }).catch(() => undefined);
    if (gone.signal.aborted) return;
  }
}

/** `package.Service` of `/package.Service/Method`. */
function serviceOf({ path }: { readonly path: string }): string {
  return path.split("/")[1]!;
}
