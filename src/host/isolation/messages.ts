import {
  type Call,
  CapstanError,
  type ErrorCode,
  isCapstanError,
  type Log,
  type Principal,
} from "../../contracts/index.ts";

/** What of a {@link Call} crosses a line; its signal crosses as an `abort`. */
export interface WireCall {
  readonly requestId: string;
  readonly deadline?: number;
  readonly priority?: number;
  readonly principal?: Principal;
  readonly whole?: boolean;
  /** W3C Trace Context: spans are recorded on the server's side alone. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: ErrorCode;
  readonly retryAfterMs?: number;
  readonly param?: string;
  readonly cause?: WireError;
}

/** What goes over a line. An `id` is the number of a question, given by the side that asked. */
export type Message =
  | {
      readonly type: "ask";
      readonly id: number;
      readonly method: string;
      readonly args: unknown;
      readonly call: WireCall;
    }
  | {
      readonly type: "open";
      readonly id: number;
      readonly method: string;
      readonly args: unknown;
      readonly call: WireCall;
      /** How many items may be sent before the reader grants more. */
      readonly credit: number;
    }
  | { readonly type: "abort"; readonly id: number; readonly reason: WireError }
  | { readonly type: "credit"; readonly id: number; readonly more: number }
  | { readonly type: "leave"; readonly id: number }
  | { readonly type: "item"; readonly id: number; readonly value: unknown }
  | { readonly type: "done"; readonly id: number; readonly value: unknown }
  | { readonly type: "failed"; readonly id: number; readonly error: WireError }
  | {
      readonly type: "log";
      readonly id: number;
      readonly level: keyof Log;
      readonly fields: object;
      readonly text: string;
    }
  | { readonly type: "note"; readonly name: string; readonly value: unknown }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "pong"; readonly id: number };

export function callToWire({ requestId, deadline, priority, principal, whole, trace }: Call): WireCall {
  const { traceparent, tracestate } = trace?.headers ?? {};
  return {
    requestId,
    ...(deadline === undefined ? {} : { deadline }),
    ...(priority === undefined ? {} : { priority }),
    ...(principal === undefined ? {} : { principal: { ...principal } }),
    ...(whole === undefined ? {} : { whole }),
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
  };
}

export function errorToWire(error: unknown): WireError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message, stack, cause } = error;
  return {
    name,
    message,
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined ? {} : { cause: errorToWire(cause) }),
    ...(isCapstanError(error) ? tableFields(error) : {}),
  };
}

function tableFields({ code, retryAfterMs, param }: CapstanError): Partial<WireError> {
  return {
    code,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(param === undefined ? {} : { param }),
  };
}

export function errorFromWire({ name, message, stack, code, retryAfterMs, param, cause }: WireError): Error {
  const inner = cause === undefined ? undefined : errorFromWire(cause);
  if (code !== undefined) {
    const details = {
      ...(inner === undefined ? {} : { cause: inner }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(param === undefined ? {} : { param }),
    };
    return new CapstanError(code, message, details);
  }
  const error = new Error(message, inner === undefined ? undefined : { cause: inner });
  Object.defineProperty(error, "name", { value: name, configurable: true });
  if (stack !== undefined) Object.defineProperty(error, "stack", { value: stack, configurable: true });
  return error;
}
