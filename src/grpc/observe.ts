import {
  type ServerInterceptingCall,
  type ServerInterceptor,
  type ServerMethodDefinition,
  status,
} from "@grpc/grpc-js";
import type { GrpcMetrics, RpcLabels, RpcSeries } from "../telemetry/grpc-metrics.ts";

export type InnermostCall = Parameters<ServerInterceptor>[1];
export type AnyMethod = ServerMethodDefinition<unknown, unknown>;
export type PartialStatus = Parameters<InnermostCall["sendStatus"]>[0];

/**
 * Counts and times every call, and corrects the statuses that grpc-js gives by itself. It takes the place of
 * two methods of the call instead of wrapping it: the statuses grpc-js makes (deadline, message size, broken
 * compression) do not pass through a wrapper.
 */
export function observe(metrics: GrpcMetrics): ServerInterceptor {
  const known = new Map<string, RpcSeries>();
  return (method, call) => {
    const series = seriesOf(method, known, metrics);
    const started = performance.now();
    let code: number | undefined;
    replace(call, "sendStatus", (send) => (given: PartialStatus) => {
      const corrected = correctedStatus(given);
      code ??= corrected.code;
      send(corrected);
    });
    replace(call, "start", (start) => (listener: Parameters<InnermostCall["start"]>[0]) => {
      series.started();
      const onCancel = listener.onCancel.bind(listener);
      listener.onCancel = () => {
        series.handled(status[code ?? status.CANCELLED]!, (performance.now() - started) / 1000);
        onCancel();
      };
      start(listener);
    });
    return call as InnermostCall & ServerInterceptingCall;
  };
}

/** Puts another function in the place of a call's own. */
export function replace<K extends "start" | "sendStatus">(
  call: InnermostCall,
  name: K,
  replacement: (original: InnermostCall[K]) => InnermostCall[K],
): void {
  call[name] = replacement(call[name].bind(call) as InnermostCall[K]);
}

/** Methods are few and known: unknown ones are refused before they come here. */
function seriesOf(method: AnyMethod, known: Map<string, RpcSeries>, metrics: GrpcMetrics): RpcSeries {
  let series = known.get(method.path);
  if (series === undefined) {
    series = metrics.method(labelsOf(method));
    known.set(method.path, series);
  }
  return series;
}

function labelsOf({ path, requestStream, responseStream }: AnyMethod): RpcLabels {
  const [, service = "", name = ""] = path.split("/");
  const kind = requestStream ? (responseStream ? "BIDI_STREAM" : "CLIENT_STREAM") : undefined;
  const type = kind ?? (responseStream ? "SERVER_STREAM" : "UNARY");
  return { grpc_type: type, grpc_service: service, grpc_method: name };
}

/** What grpc-js calls INTERNAL although the caller sent it. */
const CALLERS_FAULT = /^(Failed to decompress message|Invalid grpc-timeout value)/;

function correctedStatus(given: PartialStatus): PartialStatus {
  if (given.code !== status.INTERNAL || !CALLERS_FAULT.test(given.details ?? "")) return given;
  return { ...given, code: status.INVALID_ARGUMENT };
}
