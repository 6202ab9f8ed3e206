import {
  type Call,
  type CallRecord,
  type ChatRequest,
  type ErrorCode,
  type InferRequest,
  type Part,
  toCapstanError,
} from "../contracts/index.ts";
import type { LlmMetrics, LlmOperation } from "../telemetry/llm-metrics.ts";
import { CountedRequest } from "./counted-request.ts";
import { whenRead } from "./held-response.ts";
import { PlaneLayer } from "./plane-layer.ts";
import type { DataPlane } from "./types.ts";

/** On a request's record. Measured: a WeakMap of records costs the garbage collector more than all of the counting. */
const COUNTED = Symbol("counted");
type CountedRecord = CallRecord & { [COUNTED]?: CountedRequest };

/**
 * A data plane that counts the requests to language models, refused ones as well. What is not asked of a language model
 * goes on as it is: its counts are those of {@link Statistics}.
 */
export class CountedPlane extends PlaneLayer {
  readonly #metrics: LlmMetrics;

  constructor(next: DataPlane, metrics: LlmMetrics) {
    super(next);
    this.#metrics = metrics;
  }

  override infer(model: string, version: string | undefined, request: InferRequest, call: Call) {
    const work = () => this.next.infer(model, version, request, call);
    if (this.next.languageModel(model) === undefined) return work();
    return this.#once(model, "generate_content", call, work);
  }

  override inferStream(model: string, version: string | undefined, request: InferRequest, call: Call) {
    const work = () => this.next.inferStream(model, version, request, call);
    if (this.next.languageModel(model) === undefined) return work();
    return this.#stream(model, "generate_content", call, work);
  }

  override chat(
    model: string,
    version: string | undefined,
    request: ChatRequest,
    call: Call,
  ): AsyncIterable<Part> {
    const operation = request.prompt === undefined ? "chat" : "text_completion";
    return this.#stream(model, operation, call, () => this.next.chat(model, version, request, call));
  }

  override embed(model: string, version: string | undefined, texts: readonly string[], call: Call) {
    return this.#once(model, "embeddings", call, () => this.next.embed(model, version, texts, call));
  }

  /** The request is over when its answer was read. */
  override async passthrough(
    model: string,
    version: string | undefined,
    route: string,
    body: unknown,
    call: Call,
  ) {
    const request = this.#begin(model, "passthrough", call);
    try {
      const response = await this.next.passthrough(model, version, route, body, call);
      return whenRead(response, (whole) => request.end(outcomeOf(response, whole, call)));
    } catch (error) {
      request.end(codeOf(error));
      throw error;
    }
  }

  async #once<T>(model: string, operation: LlmOperation, call: Call, work: () => Promise<T>): Promise<T> {
    const request = this.#begin(model, operation, call);
    try {
      const answer = await work();
      request.end(undefined);
      return answer;
    } catch (error) {
      request.end(codeOf(error));
      throw error;
    }
  }

  #stream<T>(
    model: string,
    operation: LlmOperation,
    call: Call,
    work: () => AsyncIterable<T>,
  ): AsyncIterable<T> {
    return {
      [Symbol.asyncIterator]: () => new CountedParts(() => this.#begin(model, operation, call), work, call),
    };
  }

  #begin(model: string, operation: LlmOperation, call: Call): CountedRequest {
    const record: CountedRecord = call.record ?? {};
    const known = record[COUNTED];
    if (known !== undefined) return known.enter();
    const request = new CountedRequest(this.#metrics, model, operation, call, () => this.#isThere(model));
    record[COUNTED] = request;
    return request;
  }

  #isThere(model: string): boolean {
    try {
      this.next.signature(model, undefined);
      return true;
    } catch (error) {
      return codeOf(error) !== "NOT_FOUND";
    }
  }
}

/** Counts the pieces' reader in and out, and costs each piece one promise: a generator would cost three. */
class CountedParts<T> implements AsyncIterator<T> {
  readonly #begin: () => CountedRequest;
  readonly #work: () => AsyncIterable<T>;
  readonly #call: Call;
  #request: CountedRequest | undefined;
  #parts: AsyncIterator<T> | undefined;

  constructor(begin: () => CountedRequest, work: () => AsyncIterable<T>, call: Call) {
    this.#begin = begin;
    this.#work = work;
    this.#call = call;
  }

  async next(): Promise<IteratorResult<T>> {
    try {
      const parts = this.#parts ?? this.#start();
      const result = await parts.next();
      if (result.done) this.#end(undefined);
      return result;
    } catch (error) {
      this.#end(codeOf(error));
      throw error;
    }
  }

  /** Its reader leaves. */
  async return(): Promise<IteratorResult<T>> {
    try {
      await this.#parts?.return?.();
    } finally {
      this.#end(leavingCode(this.#call));
    }
    return { done: true, value: undefined };
  }

  #start(): AsyncIterator<T> {
    this.#request = this.#begin();
    this.#parts = this.#work()[Symbol.asyncIterator]();
    return this.#parts;
  }

  #end(code: ErrorCode | undefined): void {
    this.#request?.end(code);
    this.#request = undefined;
  }
}

const codeOf = (thrown: unknown): ErrorCode => toCapstanError(thrown).code;

/** A reader leaves because the call was ended, or because it wants no more. */
const leavingCode = ({ signal }: Call): ErrorCode => (signal.aborted ? codeOf(signal.reason) : "CANCELLED");

/** An upstream's own refusal is passed on as its answer. */
function outcomeOf({ ok }: Response, whole: boolean, { signal }: Call): ErrorCode | undefined {
  if (!whole && signal.aborted) return codeOf(signal.reason);
  return whole && ok ? undefined : "UPSTREAM";
}
