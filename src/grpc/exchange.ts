import type { EventEmitter } from "node:events";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import type { Parameters, Principal, TraceSpan } from "../contracts/index.ts";
import { credentialOf } from "../host/access.ts";
import { type CallScope, openCall, requestIdOf } from "../host/call.ts";
import { type Caller, withoutPort } from "../host/local-caller.ts";
import { forwardedTrace } from "../telemetry/trace-context.ts";
import type { GrpcParts } from "./parts.ts";
import { spanOf } from "./trace.ts";

/** A call of grpc-js whose messages are bytes: decoding is ours, so that its faults get a proper status. */
export type UnaryCall = ServerUnaryCall<Buffer, Buffer>;
export type OutgoingStream = ServerWritableStream<Buffer, Buffer>;
export type DuplexStream = ServerDuplexStream<Buffer, Buffer>;
type ServerCall = Pick<UnaryCall, Exclude<keyof UnaryCall, "request" | keyof EventEmitter>> & EventEmitter;

/** One gRPC call and what its answers need to know of it. */
export class Exchange implements Caller {
  readonly parts: GrpcParts;
  readonly path: string;
  readonly requestId: string;
  /** Of this call; absent where nobody asked for traces. */
  readonly span: TraceSpan | undefined;
  /** Known once the call was admitted. */
  principal: Principal | undefined;
  readonly #call: ServerCall;
  /** Each with what is to be done at its end. */
  readonly #scopes = new Map<CallScope, () => void>();

  constructor(call: ServerCall, path: string, parts: GrpcParts) {
    this.#call = call;
    this.path = path;
    this.parts = parts;
    const given = this.header("x-request-id");
    this.requestId = requestIdOf(given);
    this.span = parts.tracing && spanOf(call.metadata);
  }

  /** The first value of a metadata key; binary ones are not read. */
  header(name: string): string | undefined {
    const [value] = this.#call.metadata.get(name);
    return typeof value === "string" ? value : undefined;
  }

  get address(): string {
    return withoutPort(this.#call.getPeer());
  }

  /** The call's `:authority`. */
  get host(): string {
    return this.#call.getHost();
  }

  /** @throws CapstanError UNAUTHENTICATED where access control wants a key. */
  async admit(): Promise<void> {
    const { access } = this.parts;
    if (access === undefined || access.isOpen(this.path)) return;
    this.principal = await access.authenticate(credentialOf((name) => this.header(name)));
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
      parameters,
      header: (name) => this.header(name),
      timeoutMs: this.#remaining(),
      trace: this.span,
      ...(this.principal && { principal: this.principal }),
    });
    this.#scopes.set(scope, this.#held(scope));
    if (this.#call.cancelled) this.#cancel();
    return scope;
  }

  /** While it lasts, a revoked key ends it, and so does its id; that of a stream ends all of its requests. */
  #held(scope: CallScope): () => void {
    const { access, running } = this.parts;
    const cancel = (reason: string) => scope.cancel(reason);
    const release = this.principal && access?.hold(this.principal, cancel);
    const owner = this.principal?.id ?? this.address;
    const entries = [...new Set([scope.requestId, this.requestId])].map((requestId) => {
      const entry = { requestId, owner, cancel };
      running?.add(entry);
      return entry;
    });
    return () => {
      release?.();
      for (const entry of entries) running?.delete(entry);
    };
  }

  /** Of this call, or the one that its client names. */
  get trace(): TraceSpan | undefined {
    return this.span ?? forwardedTrace((name) => this.header(name));
  }

  /** Metadata that the work gave its answer, also when it failed. */
  get noted(): Readonly<Record<string, string>> {
    return Object.assign({}, ...[...this.#scopes.keys()].map(({ record }) => record.headers));
  }

  /** The work of one scope is done. */
  end(scope: CallScope): void {
    scope.end();
    this.#scopes.get(scope)?.();
    this.#scopes.delete(scope);
    if (this.#scopes.size === 0) this.#call.off("cancelled", this.#cancel);
  }

  /** The work of the whole call is done. */
  close(): void {
    for (const scope of this.#scopes.keys()) this.end(scope);
  }

  /** grpc-js reports a deadline as a cancellation; the scope's own timer then says which it was. */
  readonly #cancel = (): void => {
    if (this.#remaining() === 0) return;
    for (const scope of this.#scopes.keys()) scope.cancel("The client cancelled the call");
  };

  #remaining(): number | undefined {
    const deadline = Number(this.#call.getDeadline());
    return Number.isFinite(deadline) ? Math.max(0, deadline - Date.now()) : undefined;
  }
}
