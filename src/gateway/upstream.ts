import type { ServiceError } from "@grpc/grpc-js";
import { type CallOptions, Client, type ClientDuplexStream, credentials, type Metadata } from "@grpc/grpc-js";
import { type Call, CapstanError, type TraceSpan } from "../contracts/index.ts";
import type { inference } from "../grpc/generated/inference.js";
import { GRPCInferenceService } from "../grpc/generated/services.ts";
import { readStreamMessage, type StreamMessage } from "../grpc/stream-message.ts";
import type { ModelResponse } from "../host/types.ts";
import type { UpstreamAddress } from "./address.ts";
import { messageFailure, statusFailure } from "./failures.ts";
import { readResponse } from "./messages.ts";

export interface UpstreamOptions {
  readonly address: UpstreamAddress;
  /** Bytes of the largest message; -1 for no limit. */
  readonly maxMessageBytes: number;
}

type Message = inference.ModelInferRequest.Init;
type Stream = ClientDuplexStream<Message, StreamMessage>;

const STREAM = GRPCInferenceService.ModelStreamInfer;
const READY_MS = 2000;
const FINAL = "triton_final_response";

/** The V2 gRPC server behind the gateway. */
export class Upstream implements Disposable {
  readonly #client: Client;
  readonly #where: string;

  constructor({ address, maxMessageBytes }: UpstreamOptions) {
    this.#where = address.host;
    const secure = address.tls ? credentials.createSsl() : credentials.createInsecure();
    this.#client = new Client(address.host, secure, {
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.service_config_disable_resolution": 1,
      "grpc.enable_http_proxy": 0,
      "grpc.enable_channelz": 0,
      // A server that came back is found soon.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2000,
    });
  }

  get where(): string {
    return this.#where;
  }

  /**
   * The responses to one request, until the one that says it is the last, or the end of the stream. Each is read when
   * it is asked for, so a slow reader slows the model down; who leaves early cancels the call.
   * @throws CapstanError by the status, or by the words of the error message.
   */
  async *stream(message: Message, metadata: Metadata, call: Call): AsyncGenerator<ModelResponse> {
    call.signal.throwIfAborted();
    const span = this.#begin(call);
    for (const [name, value] of Object.entries(span?.headers ?? {})) metadata.set(name, value);
    const stream = this.#open(metadata, call);
    const abort = () => stream.cancel();
    call.signal.addEventListener("abort", abort);
    try {
      stream.write(message);
      stream.end();
      for await (const answer of stream) {
        const response = this.#accept(answer as StreamMessage);
        yield response;
        if (response.parameters?.[FINAL] === true) return span?.end();
      }
      span?.end();
    } catch (error) {
      const failure = call.signal.aborted ? call.signal.reason : this.#failureOf(error);
      span?.end(failure);
      throw failure;
    } finally {
      span?.end(call.signal.aborted ? call.signal.reason : undefined);
      call.signal.removeEventListener("abort", abort);
      stream.cancel();
    }
  }

  /** @throws CapstanError saying why not. */
  ready(): Promise<boolean> {
    const { path, requestSerialize, responseDeserialize } = GRPCInferenceService.ServerReady;
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    this.#client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      {},
      { deadline: Date.now() + READY_MS },
      (error, answer) =>
        error === null ? resolve(answer?.ready === true) : reject(statusFailure(this.#where, error)),
    );
    return promise;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #failureOf(error: unknown): CapstanError {
    return error instanceof CapstanError ? error : statusFailure(this.#where, error as ServiceError);
  }

  /** OpenTelemetry's conventions for gRPC clients. */
  #begin({ trace }: Call): TraceSpan | undefined {
    const { hostname, port } = new URL(`grpc://${this.#where}`);
    const [, service, method] = STREAM.path.split("/");
    return trace?.begin(STREAM.path.slice(1), "client", {
      ...{ "rpc.system": "grpc", "rpc.service": service, "rpc.method": method },
      ...{ "server.address": hostname, "server.port": Number(port) },
    });
  }

  #open(metadata: Metadata, { deadline }: Call): Stream {
    const { path, requestSerialize } = STREAM;
    const options: CallOptions = deadline === undefined ? {} : { deadline };
    const stream: Stream = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      readStreamMessage,
      metadata,
      options,
    );
    // The iterator reports errors; this one is for those that come after it has ended.
    stream.on("error", () => {});
    return stream;
  }

  #accept({ errorMessage, inferResponse }: StreamMessage): ModelResponse {
    if (errorMessage !== "") throw messageFailure(this.#where, errorMessage);
    try {
      if (inferResponse !== null) return readResponse(inferResponse);
    } catch (cause) {
      throw notV2(this.#where, (cause as Error).message, cause);
    }
    throw notV2(this.#where, "a message of neither an answer nor an error");
  }
}

function notV2(where: string, why: string, cause?: unknown): CapstanError {
  return new CapstanError("UPSTREAM", `The server at ${where} sent an answer that is not V2: ${why}`, {
    cause,
  });
}
