import { randomUUID } from "node:crypto";
import type { EventEmitter } from "node:events";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import type { Parameters } from "../contracts/index.ts";
import { type CallScope, openCall } from "../host/call.ts";
import type { GrpcParts } from "./parts.ts";

/** A call of grpc-js whose messages are bytes: decoding is ours, so that its faults get a proper status. */
export type UnaryCall = ServerUnaryCall<Buffer, Buffer>;
export type OutgoingStream = ServerWritableStream<Buffer, Buffer>;
export type DuplexStream = ServerDuplexStream<Buffer, Buffer>;
type ServerCall = Pick<UnaryCall, Exclude<keyof UnaryCall, "request" | keyof EventEmitter>> & EventEmitter;

/** What a caller may name a request; anything else is replaced, so that it can stand in a log. */
const REQUEST_ID = /^[\w.:+/=@-]{1,128}$/;

/** One gRPC call and what its answers need to know of it. */
export class Exchange {
  readonly parts: GrpcParts;
  readonly path: string;
  readonly requestId: string;
  readonly #call: ServerCall;
  readonly #scopes = new Set<CallScope>();

  constructor(call: ServerCall, path: string, parts: GrpcParts) {
    this.#call = call;
    this.path = path;
    this.parts = parts;
    const given = this.metadata("x-request-id");
    this.requestId = given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
  }

  /** The first value of a header; binary ones are not read. */
  metadata(name: string): string | undefined {
    const [value] = this.#call.metadata.get(name);
    return typeof value === "string" ? value : undefined;
  }

  /** `address:port` of the caller. */
  get peer(): string {
    return this.#call.getPeer();
  }

  /** What the caller called this server: its `:authority`. */
  get authority(): string {
    return this.#call.getHost();
  }

  /**
   * The circumstances of the work this call asks for: its signal aborts when the caller cancels or a deadline
   * passes. A stream opens one for each request, under an id of its own.
   */
  open(parameters: Parameters = {}, requestId = this.requestId): CallScope {
    if (this.#scopes.size === 0) this.#call.on("cancelled", this.#cancel);
    const scope = openCall({
      requestId,
      log: this.parts.log,
      timeouts: [this.#remaining(), microseconds(parameters.timeout)],
      priority: positive(parameters.priority) ?? positive(this.metadata("x-priority")),
    });
    this.#scopes.add(scope);
    if (this.#call.cancelled) this.#cancel();
    return scope;
  }

  /** The work of one scope is done. */
  end(scope: CallScope): void {
    scope.end();
    this.#scopes.delete(scope);
    if (this.#scopes.size === 0) this.#call.off("cancelled", this.#cancel);
  }

  /** The work of the whole call is done. */
  close(): void {
    for (const scope of this.#scopes) this.end(scope);
  }

  /** grpc-js reports a deadline as a cancellation; the scope's own timer then says which it was. */
  readonly #cancel = (): void => {
    if (this.#remaining() === 0) return;
    for (const scope of this.#scopes) scope.cancel("The client cancelled the call");
  };

  #remaining(): number | undefined {
    const deadline = Number(this.#call.getDeadline());
    return Number.isFinite(deadline) ? Math.max(0, deadline - Date.now()) : undefined;
  }
}

/** V2 parameter `timeout`, in milliseconds. */
function microseconds(value: unknown): number | undefined {
  const given = positive(value);
  return given === undefined ? undefined : given / 1000;
}

/** Values that are not numbers count as absent: a proxy may have put anything there. */
function positive(value: unknown): number | undefined {
  const number = value === undefined ? Number.NaN : Number(value);
  return Number.isFinite(number) && number > 0 ? number : undefined;
}
