import {
  type Call,
  type CapLLM,
  type ChatRequest,
  type Completion,
  type Embeddings,
  foldParts,
  type Host,
  type ModelSpec,
  type Part,
} from "../../src/contracts/index.ts";
import { embeddingsIn } from "./embeddings.ts";
import type { Endpoint } from "./endpoint.ts";
import { Endpoints } from "./endpoints.ts";
import { Fallbacks } from "./fallbacks.ts";
import type { OpenaiOptions } from "./options.ts";
import { forwardedBody, responseOf, upstreamRoute } from "./passthrough.ts";
import { Reply, type ReplyRequest } from "./reply.ts";
import { upstreamRequest } from "./request.ts";
import { readStream, wholeParts } from "./stream.ts";

/** A model that an OpenAI-compatible server answers for. */
export class OpenaiModel implements CapLLM {
  readonly #options: OpenaiOptions;
  /** The upstream's name of the model. */
  readonly #remote: string;
  readonly #fallbacks: Fallbacks;
  readonly #endpoints: Endpoints;

  constructor(model: ModelSpec, options: OpenaiOptions, host: Host) {
    this.#options = options;
    this.#remote = options.model ?? model.name;
    this.#fallbacks = new Fallbacks(model.name, options.fallbacks, host);
    this.#endpoints = new Endpoints(model.name, options);
  }

  async *streamTokens(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    if (call.whole) return yield* await this.#wholeAnswer(request, call);
    const sent = { ...this.#upstream(request, true), awaited: "first token" } as const;
    let begun = false;
    try {
      const packets = this.#endpoints.stream(call, (endpoint) => this.#stream(endpoint, sent, request, call));
      for await (const packet of packets) {
        for (const part of packet) {
          begun = true;
          yield part;
          call.signal.throwIfAborted();
        }
      }
      return;
    } catch (error) {
      call.signal.throwIfAborted();
      if (begun) throw error;
      yield* this.#fallbacks.chat(error, request, call);
    }
  }

  async predictText(request: ChatRequest, call: Call): Promise<Completion> {
    return await foldParts(await this.#wholeAnswer(request, call));
  }

  /** Without fallbacks: the vectors of another model would not be comparable. */
  async embed(texts: readonly string[], call: Call): Promise<Float32Array[] | Embeddings> {
    if (texts.length === 0) return [];
    const body = { model: this.#remote, input: texts, encoding_format: "float" };
    const sent = { route: "embeddings", body, awaited: "answer" } as const;
    return this.#endpoints.run(call, async (endpoint) =>
      embeddingsIn(await this.#json(endpoint, sent, call), texts, endpoint.faults),
    );
  }

  /**
   * Posts to another route of the upstream, such as `images/generations`, under the upstream's name of the
   * model. The body is streamed; reading it to its end, or cancelling it, closes the exchange.
   */
  async passthrough(route: string, body: unknown, call: Call): Promise<Response> {
    const sent = {
      route: upstreamRoute(route),
      body: forwardedBody(body, this.#remote),
      awaited: "answer",
    } as const;
    return this.#endpoints.run(call, async (endpoint) =>
      responseOf(new Reply(endpoint, sent, this.#options, call)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endpoints[Symbol.asyncDispose]();
  }

  #upstream(request: ChatRequest, stream: boolean) {
    return upstreamRequest(request, this.#remote, stream, this.#options);
  }

  /** One request without streaming: `upstream_timeout` is for the whole answer. */
  async #wholeAnswer(request: ChatRequest, call: Call): Promise<AsyncIterable<Part> | Iterable<Part>> {
    const sent = { ...this.#upstream(request, false), awaited: "answer" } as const;
    try {
      return await this.#endpoints.run(call, async (endpoint) =>
        wholeParts(await this.#json(endpoint, sent, call), request, endpoint.faults),
      );
    } catch (error) {
      call.signal.throwIfAborted();
      return this.#fallbacks.chat(error, request, call);
    }
  }

  async *#stream(
    endpoint: Endpoint,
    sent: ReplyRequest,
    request: ChatRequest,
    call: Call,
  ): AsyncGenerator<Part[]> {
    using reply = new Reply(endpoint, sent, this.#options, call);
    yield* readStream(reply, request, endpoint.faults);
  }

  async #json(endpoint: Endpoint, sent: ReplyRequest, call: Call) {
    using reply = new Reply(endpoint, sent, this.#options, call);
    return await reply.json();
  }
}
