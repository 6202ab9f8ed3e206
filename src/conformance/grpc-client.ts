/** gRPC calls of one check: a failed call is an answer with its status code, never an exception. */
import { type Client, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { Method } from "../grpc/wire.ts";
import { cut, expect, shown } from "./expect.ts";
import type { Exchange } from "./types.ts";

/** An answer or a status. */
export interface GrpcReply<A> {
  readonly code: number;
  readonly details: string;
  readonly response?: A;
}

/** What came on a stream until it ended. */
export interface StreamReply<A> {
  readonly code: number;
  readonly details: string;
  readonly messages: readonly A[];
}

export interface GrpcClientOptions {
  readonly client: Client;
  readonly headers: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
  readonly log: Exchange[];
}

export interface CallOptions {
  readonly deadlineMs?: number;
  /** Leaves a stream after this many messages. */
  readonly cancelAfter?: number;
}

export function codeName(code: number): string {
  return status[code] ?? String(code);
}

function readable(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === "bigint") return Number(part);
    return part instanceof Uint8Array ? `<${part.length} bytes>` : part;
  });
  return cut(text ?? "", 1500);
}

/** @throws CheckFailure unless the call answered OK. */
export function expectGrpcOk<A>(reply: GrpcReply<A>, what: string): A {
  const { code, details, response } = reply;
  expect(code === status.OK && response, `${what}: expected OK, got ${codeName(code)} ${shown(details)}`);
  return response;
}

/** @throws CheckFailure unless the call failed with a status the server chose and a message. */
export function expectGrpcRefused<A>(reply: GrpcReply<A>, what: string): GrpcReply<A> {
  expect(reply.code !== status.OK, `${what} must be refused, got OK ${readable(reply.response)}`);
  const gone = reply.code === status.UNAVAILABLE && /connection|ECONN/i.test(reply.details);
  expect(!gone, `${what}: the connection was lost (${reply.details})`);
  expect(reply.details !== "", `${what}: ${codeName(reply.code)} came without a message`);
  return reply;
}

export class GrpcClient {
  readonly #options: GrpcClientOptions;

  constructor(options: GrpcClientOptions) {
    this.#options = options;
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(this.#options.headers)) metadata.set(name, value);
    return metadata;
  }

  #deadline(options: CallOptions): { deadline: number } {
    return { deadline: Date.now() + (options.deadlineMs ?? this.#options.deadlineMs) };
  }

  #record(path: string, request: unknown, received: string): void {
    this.#options.log.push({ sent: `${path}\n${readable(request)}`, received });
  }

  unary<QI, Q extends QI, AI, A extends AI>(
    method: Method<QI, Q, AI, A>,
    request: QI,
    options: CallOptions = {},
  ): Promise<GrpcReply<A>> {
    const { promise, resolve } = Promise.withResolvers<GrpcReply<A>>();
    const { path, requestSerialize, responseDeserialize } = method;
    const done = (error: ServiceError | null, response?: A): void => {
      const code = error?.code ?? status.OK;
      const details = error?.details ?? "";
      this.#record(path, request, error ? `${codeName(code)} ${details}` : readable(response));
      resolve(response === undefined ? { code, details } : { code, details, response });
    };
    const { client } = this.#options;
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      this.#metadata(),
      this.#deadline(options),
      done,
    );
    return promise;
  }

  /** Sends every request, ends the sending side, and reads until the end. */
  stream<QI, Q extends QI, AI, A extends AI>(
    method: Method<QI, Q, AI, A>,
    requests: readonly QI[],
    options: CallOptions = {},
  ): Promise<StreamReply<A>> {
    const { promise, resolve } = Promise.withResolvers<StreamReply<A>>();
    const { path, requestSerialize, responseDeserialize } = method;
    const messages: A[] = [];
    const call = this.#options.client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.#metadata(),
      this.#deadline(options),
    );
    call.on("data", (message: A) => {
      messages.push(message);
      if (messages.length === options.cancelAfter) call.cancel();
    });
    call.on("error", () => undefined);
    call.on("status", ({ code, details }) => {
      this.#record(path, requests, `${codeName(code)} ${details} after ${readable(messages)}`);
      resolve({ code, details, messages });
    });
    for (const request of requests) call.write(request);
    call.end();
    return promise;
  }
}
