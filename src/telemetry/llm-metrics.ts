import type { Registry } from "prom-client";
import type { ErrorCode } from "../contracts/index.ts";
import { registerCounter, registerGauge } from "./collected.ts";
import { type DurationSeries, registerDurations } from "./duration-histogram.ts";
import { Durations } from "./durations.ts";
import { LLM_SECONDS } from "./llm-endpoints.ts";
import { METRICS } from "./names.ts";

/** Bounds of the semantic conventions of OpenTelemetry for GenAI (metrics). */
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];
const FIRST_TOKEN_SECONDS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];
const PER_TOKEN_SECONDS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const OVERHEAD_SECONDS = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1,
];

/** `gen_ai.operation.name`. */
export type LlmOperation = "chat" | "text_completion" | "embeddings" | "generate_content" | "passthrough";

/** How a request to a language model ended. */
export interface LlmEnding {
  readonly code: ErrorCode | undefined;
  readonly seconds: number;
  readonly inputTokens: number | undefined;
  readonly outputTokens: number | undefined;
  /** A kept answer: the model was not asked. */
  readonly isKept: boolean;
  /** Of an answer that the model made piece by piece; absent for kept ones. */
  readonly firstTokenSeconds: number | undefined;
}

class OperationCounts {
  readonly operation: LlmOperation;
  readonly durations = new Map<ErrorCode | "", Durations>();
  readonly inputTokens = new Durations(TOKENS);
  readonly outputTokens = new Durations(TOKENS);
  readonly firstToken = new Durations(FIRST_TOKEN_SECONDS);
  readonly perToken = new Durations(PER_TOKEN_SECONDS);

  constructor(operation: LlmOperation) {
    this.operation = operation;
  }

  ended({ code, seconds, inputTokens, outputTokens, firstTokenSeconds }: LlmEnding): void {
    this.#duration(code ?? "").observe(seconds);
    if (inputTokens !== undefined) this.inputTokens.observe(inputTokens);
    if (outputTokens !== undefined) this.outputTokens.observe(outputTokens);
    if (code !== undefined || firstTokenSeconds === undefined) return;
    this.firstToken.observe(firstTokenSeconds);
    if (outputTokens !== undefined && outputTokens > 1)
      this.perToken.observe((seconds - firstTokenSeconds) / (outputTokens - 1));
  }

  #duration(code: ErrorCode | ""): Durations {
    let durations = this.durations.get(code);
    if (durations === undefined) {
      durations = new Durations(LLM_SECONDS);
      this.durations.set(code, durations);
    }
    return durations;
  }
}

/** What is counted of one language model. */
class LlmCounts {
  readonly operations = new Map<LlmOperation, OperationCounts>();
  readonly generation = new Durations(LLM_SECONDS);
  tokens = 0;

  operation(name: LlmOperation): OperationCounts {
    let counts = this.operations.get(name);
    if (counts === undefined) {
      counts = new OperationCounts(name);
      this.operations.set(name, counts);
    }
    return counts;
  }
}

export interface LlmInfo {
  readonly name: string;
  readonly version: string;
  readonly implementation: string;
}

/**
 * Requests to language models, over every transport: `llm_gateway_*`, and the GenAI metrics of OpenTelemetry under the
 * names that they have in Prometheus.
 */
export class LlmMetrics {
  active = 0;
  readonly overhead = new Durations(OVERHEAD_SECONDS);
  readonly #registry: Registry;
  readonly #models = new Map<string, LlmCounts>();
  readonly #ended = { success: 0, error: 0, cancelled: 0 };
  /** By model, "" for one that is not there, and code. */
  readonly #errors = new Map<string, Map<ErrorCode, number>>();

  /** @param endpoints of HTTP and gRPC that ask language models. */
  constructor(registry: Registry, endpoints: () => Iterable<DurationSeries>) {
    this.#registry = registry;
    this.#registerGateway(endpoints);
    this.#registerGenAi();
  }

  /** @param model undefined for one that is not there: its name is of the caller's making. */
  ended(model: string | undefined, operation: LlmOperation, ending: LlmEnding): void {
    const { code } = ending;
    this.#ended[code === undefined ? "success" : code === "CANCELLED" ? "cancelled" : "error"] += 1;
    if (code !== undefined && code !== "CANCELLED") this.#failed(model ?? "", code);
    if (model === undefined) return;
    const counts = this.#model(model);
    counts.operation(operation).ended(ending);
    if (code === undefined && !ending.isKept && operation !== "embeddings")
      counts.generation.observe(ending.seconds);
  }

  /** More tokens of an answer: those of an answer that broke off count as well. */
  wrote(model: string, tokens: number): void {
    this.#model(model).tokens += tokens;
  }

  /** The language models that are loaded; `models` is asked at each scrape. What others left behind is forgotten then. */
  watch(models: () => readonly LlmInfo[], isKnown: (model: string) => boolean): void {
    registerGauge(this.#registry, METRICS.llmInfo, ["model", "version", "implementation"], () => {
      for (const model of [...this.#models.keys()]) if (!isKnown(model)) this.#forget(model);
      return models().map(({ name: model, version, implementation }) => ({
        labels: { model, version, implementation },
        value: 1,
      }));
    });
  }

  #model(model: string): LlmCounts {
    let counts = this.#models.get(model);
    if (counts === undefined) {
      counts = new LlmCounts();
      this.#models.set(model, counts);
    }
    return counts;
  }

  #failed(model: string, code: ErrorCode): void {
    let codes = this.#errors.get(model);
    if (codes === undefined) {
      codes = new Map();
      this.#errors.set(model, codes);
    }
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }

  #forget(model: string): void {
    this.#models.delete(model);
    this.#errors.delete(model);
  }

  #registerGateway(endpoints: () => Iterable<DurationSeries>): void {
    const registry = this.#registry;
    registerCounter(registry, METRICS.llmRequests, ["status"], () =>
      Object.entries(this.#ended).map(([status, value]) => ({ labels: { status }, value })),
    );
    registerDurations(registry, METRICS.llmDuration, endpoints);
    registerCounter(registry, METRICS.llmTokens, ["model"], () =>
      Array.from(this.#models, ([model, { tokens }]) => ({ labels: { model }, value: tokens })),
    );
    registerDurations(registry, METRICS.llmGeneration, () =>
      Array.from(this.#models, ([model, { generation }]) => ({ labels: { model }, durations: generation })),
    );
    registerGauge(registry, METRICS.llmActive, [], () => [{ value: this.active }]);
    registerCounter(registry, METRICS.llmErrors, ["model", "code"], () => this.#errorSamples());
    registerDurations(registry, METRICS.overhead, () => [{ labels: {}, durations: this.overhead }]);
  }

  *#errorSamples() {
    for (const [model, codes] of this.#errors)
      for (const [code, value] of codes) yield { labels: { model, code }, value };
  }

  #registerGenAi(): void {
    const registry = this.#registry;
    registerDurations(registry, METRICS.genAiTokens, () =>
      this.#operations(({ inputTokens, outputTokens }, labels) => [
        { labels: { ...labels, gen_ai_token_type: "input" }, durations: inputTokens },
        { labels: { ...labels, gen_ai_token_type: "output" }, durations: outputTokens },
      ]),
    );
    registerDurations(registry, METRICS.genAiDuration, () =>
      this.#operations(({ durations }, labels) =>
        Array.from(durations, ([code, each]) => ({
          labels: code === "" ? labels : { ...labels, error_type: code },
          durations: each,
        })),
      ),
    );
    registerDurations(registry, METRICS.genAiFirstToken, () =>
      this.#operations(({ firstToken }, labels) => [{ labels, durations: firstToken }]),
    );
    registerDurations(registry, METRICS.genAiPerToken, () =>
      this.#operations(({ perToken }, labels) => [{ labels, durations: perToken }]),
    );
  }

  /** Series of nothing are left out. */
  #operations(
    seriesOf: (counts: OperationCounts, labels: Readonly<Record<string, string>>) => DurationSeries[],
  ): DurationSeries[] {
    return [...this.#models].flatMap(([model, { operations }]) =>
      [...operations.values()].flatMap((counts) =>
        seriesOf(counts, {
          gen_ai_operation_name: counts.operation,
          gen_ai_request_model: model,
        }).filter(({ durations }) => durations.count > 0),
      ),
    );
  }
}
