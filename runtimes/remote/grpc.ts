import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import type { Call, InferRequest, InferResponse, TraceSpan } from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { readStreamMessage, type StreamMessage } from "../../src/grpc/stream-message.ts";
import { type Backend, type BackendParts, listsBinary, type RemoteMetadata, whereOf } from "./backend.ts";
import { encodeContent, hasBase64 } from "./content.ts";
import { exchange } from "./exchange.ts";
import { badAnswer, streamFailure } from "./failures.ts";
import { GrpcChannel } from "./grpc-channel.ts";
import { decodeResponse, encodeRequest, isEmptyFinal } from "./grpc-codec.ts";
import { metadataOf } from "./metadata.ts";

type Stream = ClientDuplexStream<inference.ModelInferRequest.Init, StreamMessage>;

/** A model behind V2 gRPC. */
export class GrpcBackend implements Backend {
  readonly address: BackendParts["address"];
  readonly #parts: BackendParts;
  readonly #where: string;
  readonly #channel: GrpcChannel;
  /** Asked once, when it first matters. */
  #takesBytes: boolean | undefined;

  constructor(parts: BackendParts) {
    this.address = parts.address;
    this.#parts = parts;
    this.#where = whereOf(parts);
    this.#channel = new GrpcChannel(parts);
  }

  async metadata(call: Call): Promise<RemoteMetadata> {
    const { model: name, version } = this.#parts;
    const answer = await this.#channel.unary(GRPCInferenceService.ModelMetadata, { name, version }, call);
    return metadataOf({ ...answer, inputs: plain(answer.inputs), outputs: plain(answer.outputs) });
  }

  async ready(call: Call): Promise<boolean> {
    const { model: name, version } = this.#parts;
    try {
      return (await this.#channel.unary(GRPCInferenceService.ModelReady, { name, version }, call)).ready;
    } catch {
      call.signal.throwIfAborted();
      return false;
    }
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    const message = await this.#encode(request, call);
    return this.#decode(await this.#channel.unary(GRPCInferenceService.ModelInfer, message, call));
  }

  async *inferStream(request: InferRequest, call: Call): AsyncGenerator<InferResponse> {
    const message = await this.#encode(request, call);
    await this.#channel.connect(call);
    const span = this.#channel.begin(GRPCInferenceService.ModelStreamInfer, call);
    const stream = this.#open(call, span);
    try {
      stream.write(message);
      stream.end();
      yield* this.#responses(stream, call);
    } catch (error) {
      span?.end(error);
      throw error;
    } finally {
      span?.end(call.signal.aborted ? call.signal.reason : undefined);
      stream.cancel();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#channel.close();
  }

  /** Tensors are bytes in gRPC anyway; what the server takes matters to base64 alone. */
  async #encode(request: InferRequest, call: Call): Promise<inference.ModelInferRequest.Init> {
    if (!hasBase64(request)) return encodeRequest(request, this.#parts);
    this.#takesBytes ??= await listsBinary(this.#extensions(call));
    return encodeRequest(encodeContent(request, this.#takesBytes), this.#parts);
  }

  async #extensions(call: Call): Promise<unknown> {
    return (await this.#channel.unary(GRPCInferenceService.ServerMetadata, {}, call)).extensions;
  }

  #open(call: Call, span: TraceSpan | undefined): Stream {
    const { path, requestSerialize } = GRPCInferenceService.ModelStreamInfer;
    const stream: Stream = this.#channel.client.makeBidiStreamRequest(
      path,
      requestSerialize,
      readStreamMessage,
      this.#channel.metadata(call, span),
      call.deadline === undefined ? {} : { deadline: call.deadline },
    );
    // The iterator reports errors; this one is for those that come after it has ended.
    stream.on("error", () => {});
    return stream;
  }

  /** Reads one message at a time, so that a slow consumer slows the model down through flow control. */
  async *#responses(stream: Stream, call: Call): AsyncGenerator<InferResponse> {
    const limit = { where: this.#where, timeoutMs: this.#parts.options.timeout };
    const messages = stream[Symbol.asyncIterator]();
    let answered = false;
    while (true) {
      const next = await exchange<IteratorResult<StreamMessage>>(call, limit, (resolve, reject) => {
        messages
          .next()
          .then(resolve, (error: ServiceError) => reject(this.#channel.failure(error, answered)));
        return () => stream.cancel();
      });
      if (next.done) return;
      answered = true;
      const response = this.#accept(next.value);
      if (response !== undefined) yield response;
    }
  }

  /** Undefined for a message that only says that there are no more. */
  #accept({ errorMessage, inferResponse }: StreamMessage): InferResponse | undefined {
    if (errorMessage !== "") throw streamFailure(this.#where, errorMessage);
    if (inferResponse === null) throw badAnswer(this.#where, "a message of neither an answer nor an error");
    return isEmptyFinal(inferResponse) ? undefined : this.#decode(inferResponse);
  }

  #decode(message: inference.ModelInferResponse): InferResponse {
    try {
      return decodeResponse(message);
    } catch (cause) {
      throw badAnswer(this.#where, (cause as Error).message, cause);
    }
  }
}

function plain(tensors: readonly inference.ModelMetadataResponse.TensorMetadata[]): unknown[] {
  return tensors.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(Number) }));
}
