import type { Server } from "@grpc/grpc-js";
import { CapstanError, type InferRequest } from "../contracts/index.ts";
import type { CallScope } from "../host/call.ts";
import { withSession } from "../host/session-parameter.ts";
import type { ModelResponse } from "../host/types.ts";
import { checkModelName } from "../v2/names.ts";
import { type DuplexStream, Exchange } from "./exchange.ts";
import type { inference } from "./generated/inference.js";
import { GRPCInferenceService } from "./generated/services.ts";
import { isRaw, readInferRequest } from "./infer-request.ts";
import { writeInferResponse } from "./infer-response.ts";
import { markLast } from "./last.ts";
import { Outlet } from "./outlet.ts";
import type { GrpcParts } from "./parts.ts";
import { addDuplex, checkReplySize, decodeRequest } from "./rpc.ts";
import { report, requestIdMetadata, statusOf } from "./status.ts";
import { type Turn, Turns, UNORDERED } from "./turns.ts";

/** Requests of one stream that are under way at once; with them in hand, nothing more is read. */
const MAX_UNDER_WAY = 64;

const METHOD = GRPCInferenceService.ModelStreamInfer;
const FINAL = "triton_final_response";
const EMPTY_FINAL_WANTED = "triton_enable_empty_final_response";

/** @param stopping aborts when the server closes: a stream then ends as soon as it has answered everything. */
export function addStreamInfer(server: Server, parts: GrpcParts, stopping: AbortSignal): void {
  addDuplex(server, METHOD, (stream) => new InferStream(stream, parts, stopping).start());
}

/** One request of the stream while it is worked on. */
interface Job {
  readonly message: inference.ModelInferRequest;
  readonly model: string;
  readonly request: InferRequest;
  readonly scope: CallScope;
}

/**
 * Triton's ModelStreamInfer. Requests run at once. Answers of models that give one answer come in the order
 * of the requests, as Triton orders them; those of streaming models as they come, in their own order. An
 * error answers its request alone. Each message says in `triton_final_response` whether it is its request's
 * last.
 */
class InferStream {
  readonly #stream: DuplexStream;
  readonly #parts: GrpcParts;
  readonly #stopping: AbortSignal;
  readonly #exchange: Exchange;
  readonly #outlet: Outlet;
  readonly #turns = new Turns();
  #accepted = 0;
  #underWay = 0;
  #bytesUnderWay = 0;
  #allRead = false;

  constructor(stream: DuplexStream, parts: GrpcParts, stopping: AbortSignal) {
    this.#stream = stream;
    this.#parts = parts;
    this.#stopping = stopping;
    this.#exchange = new Exchange(stream, METHOD.path, parts);
    this.#outlet = new Outlet(stream);
  }

  start(): void {
    this.#stream.sendMetadata(requestIdMetadata(this.#exchange.requestId));
    this.#stream.on("data", (bytes: Buffer) => void this.#accept(bytes));
    this.#stream.on("end", () => {
      this.#allRead = true;
      this.#endIfDone();
    });
    this.#stopping.addEventListener("abort", this.#endIfDone);
    this.#stream.once("close", () => this.#stopping.removeEventListener("abort", this.#endIfDone));
  }

  async #accept(bytes: Buffer): Promise<void> {
    this.#accepted += 1;
    this.#count(1, bytes.length);
    await this.#answer(bytes, `${this.#exchange.requestId}/${this.#accepted}`, this.#turns.take());
    this.#count(-1, -bytes.length);
    this.#endIfDone();
  }

  #count(requests: number, bytes: number): void {
    this.#underWay += requests;
    this.#bytesUnderWay += bytes;
    const limit = this.#parts.settings.grpc_max_message_length;
    const full = this.#underWay >= MAX_UNDER_WAY || (limit >= 0 && this.#bytesUnderWay > limit);
    if (full) this.#stream.pause();
    else if (this.#stream.isPaused()) this.#stream.resume();
  }

  readonly #endIfDone = (): void => {
    if (this.#underWay > 0 || !this.#outlet.open) return;
    if (this.#allRead) this.#stream.end();
    else if (this.#stopping.aborted && this.#stream.readableLength === 0) this.#endForStop();
  };

  #endForStop(): void {
    const stopped = new CapstanError(
      "NOT_READY",
      "The server is stopping; requests sent so far are answered",
    );
    this.#stream.emit("error", statusOf(this.#failed(this.#exchange.requestId), stopped));
  }

  #failed(requestId: string) {
    return { requestId, path: METHOD.path, parts: this.#parts, trace: this.#exchange.trace };
  }

  /** Never rejects. */
  async #answer(bytes: Buffer, requestId: string, turn: Turn): Promise<void> {
    let message: inference.ModelInferRequest | undefined;
    let scope: CallScope | undefined;
    let place = turn;
    try {
      message = decodeRequest(METHOD, bytes);
      if (this.#parts.access !== undefined) await this.#exchange.admit();
      const model = checkModelName(message.modelName, "model");
      const request = withSession(readInferRequest(message), this.#exchange.header("x-session-id"));
      scope = this.#exchange.open(request.parameters, requestId);
      const job = { message, model, request, scope };
      if (!this.#parts.plane.streams(job.model, job.message.modelVersion || undefined))
        return await this.#answerOnce(job, turn);
      turn.pass();
      place = UNORDERED;
      await this.#answerMany(job);
    } catch (error) {
      await this.#refuse(message, requestId, error, place);
    } finally {
      if (scope) this.#exchange.end(scope);
      turn.pass();
    }
  }

  async #answerOnce({ model, message, request, scope }: Job, turn: Turn): Promise<void> {
    const response = await this.#parts.plane.infer(model, message.modelVersion || undefined, request, scope);
    const reply = this.#encode(response, message, true);
    await turn.mine;
    await this.#outlet.write(reply);
  }

  /**
   * An end that did not show in time to mark the last answer goes out as an empty one; clients of Triton's
   * decoupled backends, which always end so, ask for it in every case.
   */
  async #answerMany({ model, message, request, scope }: Job): Promise<void> {
    const version = message.modelVersion || undefined;
    const emptyFinal = request.parameters[EMPTY_FINAL_WANTED] === true;
    let answered = { modelName: model, modelVersion: message.modelVersion };
    let ended = false;
    for await (const { item, last } of markLast(
      this.#parts.plane.inferStream(model, version, request, scope),
    )) {
      answered = item;
      ended = (last && !emptyFinal) || item.parameters?.[FINAL] === true;
      if (!(await this.#outlet.write(this.#encode(item, message, ended)))) return;
    }
    if (ended) return;
    const { modelName, modelVersion } = answered;
    await this.#outlet.write(
      this.#encode({ modelName, modelVersion, id: request.id, outputs: [] }, message, true),
    );
  }

  /** @throws CapstanError TOO_LARGE: grpc-js would end the whole stream. */
  #encode(response: ModelResponse, asked: inference.ModelInferRequest, final: boolean): Buffer {
    const marked = { ...response, parameters: { ...response.parameters, [FINAL]: final } };
    const reply = METHOD.responseSerialize({ inferResponse: writeInferResponse(marked, isRaw(asked)) });
    return checkReplySize(reply, this.#parts.settings);
  }

  /** The id goes with the error, so that the client knows which request failed. */
  async #refuse(
    message: inference.ModelInferRequest | undefined,
    requestId: string,
    thrown: unknown,
    turn: Turn,
  ) {
    const { error, message: text } = report(this.#failed(requestId), thrown);
    const { modelName, modelVersion, id } = message ?? {};
    const inferResponse = { modelName, modelVersion, id, parameters: { [FINAL]: { boolParam: true } } };
    await turn.mine;
    await this.#outlet.write(
      METHOD.responseSerialize({ errorMessage: `${error.code}: ${text}`, inferResponse }),
    );
  }
}
