import { type Metadata, type ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";
import type { TraceSpan } from "../contracts/index.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { type InnermostCall, type PartialStatus, replace } from "./observe.ts";

/** By the metadata of the call: grpc-js gives the same object to an interceptor and to the handler. */
const SPANS = new WeakMap<Metadata, TraceSpan>();

/** Asked for every few seconds by programs, and in nobody's trace. */
const PROBES = /^\/(grpc\.health\.v1\.Health\/|inference\.GRPCInferenceService\/Server(Live|Ready)$)/;

/** Statuses that say of a server that it failed, and not that its caller did (OpenTelemetry, gRPC server spans). */
const OUR_FAULTS: ReadonlySet<number> = new Set([
  status.UNKNOWN,
  status.DEADLINE_EXCEEDED,
  status.UNIMPLEMENTED,
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);

export function spanOf(metadata: Metadata): TraceSpan | undefined {
  return SPANS.get(metadata);
}

/** Gives every call a span, from its first metadata to its status, or until its client has left. */
export function traceCalls(tracing: Tracing): ServerInterceptor {
  return ({ path }, call) => {
    if (!PROBES.test(path)) traceCall(tracing, path, call);
    return call as InnermostCall & ServerInterceptingCall;
  };
}

function traceCall(tracing: Tracing, path: string, call: InnermostCall): void {
  let span: TraceSpan | undefined;
  const end = (code: number) => {
    span?.set({ "rpc.grpc.status_code": code });
    span?.end(OUR_FAULTS.has(code) ? status[code] : undefined);
  };
  replace(call, "sendStatus", (send) => (given: PartialStatus) => {
    send(given);
    end(given.code);
  });
  replace(call, "start", (start) => (listener: Parameters<InnermostCall["start"]>[0]) => {
    const onMetadata = listener.onReceiveMetadata.bind(listener);
    const onCancel = listener.onCancel.bind(listener);
    listener.onReceiveMetadata = (metadata) => {
      span = begin(tracing, path, metadata);
      SPANS.set(metadata, span);
      onMetadata(metadata);
    };
    listener.onCancel = () => {
      onCancel();
      end(status.CANCELLED);
    };
    start(listener);
  });
}

function begin(tracing: Tracing, path: string, metadata: Metadata): TraceSpan {
  const [, service, method] = path.split("/");
  const header = (name: string) => {
    const [value] = metadata.get(name);
    return typeof value === "string" ? value : undefined;
  };
  const attributes = { "rpc.system": "grpc", "rpc.service": service, "rpc.method": method };
  return tracing.serve({ name: path.slice(1), header, attributes });
}
