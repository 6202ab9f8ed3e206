import type { Call, CallRecord, ErrorCode } from "../contracts/index.ts";
import type { LlmMetrics, LlmOperation } from "../telemetry/llm-metrics.ts";

/** One request. Its body may hold several prompts, whose work shares the request's record: it ends with the last of them. */
export class CountedRequest {
  readonly #metrics: LlmMetrics;
  readonly #model: string;
  readonly #operation: LlmOperation;
  readonly #call: Call;
  readonly #isThere: () => boolean;
  readonly #started = performance.now();
  #open = 1;
  #code: ErrorCode | undefined;
  #tokens = 0;
  #isCounted = false;

  constructor(
    metrics: LlmMetrics,
    model: string,
    operation: LlmOperation,
    call: Call,
    isThere: () => boolean,
  ) {
    this.#metrics = metrics;
    this.#model = model;
    this.#operation = operation;
    this.#call = call;
    this.#isThere = isThere;
    metrics.active += 1;
  }

  enter(): this {
    if (this.#open === 0) this.#metrics.active += 1;
    this.#open += 1;
    return this;
  }

  /** A piece of the work is over; the first that did not end well says how the request ended. */
  end(code: ErrorCode | undefined): void {
    this.#code ??= code;
    this.#open -= 1;
    if (this.#open > 0) return;
    this.#metrics.active -= 1;
    const { record = {} } = this.#call;
    // A refusal before the model was looked up: the name may be of the caller's making.
    const model = record.model ?? (this.#isThere() ? this.#model : undefined);
    if (model !== undefined) this.#countTokens(model, record);
    if (!this.#isCounted) this.#count(model, record);
  }

  #countTokens(model: string, { outputTokens = 0 }: CallRecord): void {
    if (outputTokens > this.#tokens) this.#metrics.wrote(model, outputTokens - this.#tokens);
    this.#tokens = outputTokens;
  }

  #count(model: string | undefined, record: CallRecord): void {
    this.#isCounted = true;
    const { firstTokenAt, inputTokens, outputTokens, cache } = record;
    const isTimed = firstTokenAt !== undefined && cache !== "hit" && !this.#call.whole;
    this.#metrics.ended(model, this.#operation, {
      code: this.#code,
      seconds: (performance.now() - this.#started) / 1000,
      inputTokens,
      outputTokens,
      isKept: cache === "hit",
      firstTokenSeconds: isTimed ? (firstTokenAt - this.#started) / 1000 : undefined,
    });
  }
}
