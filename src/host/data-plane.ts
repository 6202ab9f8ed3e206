import {
  type Call,
  type CapLLM,
  CapstanError,
  type ChatRequest,
  type Embeddings,
  type InferRequest,
  type Part,
  partsOf,
  type TensorSpec,
  toCapstanError,
  withTokens,
} from "../contracts/index.ts";
import { answers, execute } from "./execution.ts";
import type { Generation } from "./generation.ts";
import { whenRead } from "./held-response.ts";
import { describeConfig, describeModel } from "./metadata.ts";
import { beginModelSpan, leftBecause, type ModelOperation, withSpan } from "./model-span.ts";
import { Places } from "./places.ts";
import type { ModelRegistry } from "./registry.ts";
import type {
  DataPlane,
  LanguageModelEntry,
  ModelConfig,
  ModelMetadata,
  ModelResponse,
  ModelStatistics,
  ServerMetadata,
} from "./types.ts";

export interface DataPlaneParts {
  readonly registry: ModelRegistry;
  readonly server: ServerMetadata;
  readonly ready: () => boolean;
}

/** Work that a generation is wanted for. */
interface Asked {
  readonly model: string;
  readonly version: string | undefined;
  readonly call: Call;
  readonly session?: string | undefined;
  /** Absent: it is part of a span that there is already. */
  readonly operation?: ModelOperation;
}

/** The one way to a model: every transport ends here. Each request holds the generation that answers it. */
export class ModelDataPlane implements DataPlane {
  readonly #parts: DataPlaneParts;
  readonly #places = new Places();

  constructor(parts: DataPlaneParts) {
    this.#parts = parts;
  }

  infer(
    model: string,
    version: string | undefined,
    request: InferRequest,
    call: Call,
  ): Promise<ModelResponse> {
    const asked: Asked = { model, version, call, session: sessionOf(request), operation: "infer" };
    return this.#work(asked, (generation, own) => execute(generation, request, own));
  }

  async *inferStream(
    model: string,
    version: string | undefined,
    request: InferRequest,
    call: Call,
  ): AsyncGenerator<ModelResponse> {
    if (this.streams(model, version)) {
      const asked: Asked = { model, version, call, session: sessionOf(request), operation: "infer" };
      yield* this.#stream(asked, (generation, own) => answers(generation, request, own));
    } else yield await this.infer(model, version, request, call);
  }

  streams(model: string, version: string | undefined): boolean {
    return this.#parts.registry.find(model, version).runtime.inferStream !== undefined;
  }

  chat(model: string, version: string | undefined, request: ChatRequest, call: Call): AsyncGenerator<Part> {
    const operation = request.prompt === undefined ? "chat" : "text_completion";
    const asked: Asked = { model, version, call, session: request.session, operation };
    return this.#stream(asked, (generation, own) => answerOf(languageModel(generation), request, own));
  }

  embed(model: string, version: string | undefined, texts: readonly string[], call: Call) {
    const asked: Asked = { model, version, call, operation: "embeddings" };
    return this.#capability(asked, "does not make embeddings", (llm, own) =>
      llm.embed?.(texts, own).then((answer) => noteEmbeddings(withTokens(answer, texts), own)),
    );
  }

  tokenize(model: string, version: string | undefined, text: string, call: Call) {
    const asked: Asked = { model, version, call, operation: "tokenize" };
    return this.#capability(asked, "does not tell its tokens", (llm, own) => llm.tokenize?.(text, own));
  }

  /** The generation is held until the response's body was read, or given up. */
  async passthrough(model: string, version: string | undefined, route: string, body: unknown, call: Call) {
    const held = this.#parts.registry.find(model, version, callerOf(call)).acquire();
    const span = beginModelSpan(call, "passthrough", held);
    const asked: Asked = { model, version, call: withSpan(call, span) };
    const lack = `has no upstream that serves ${route}`;
    const end = (failure: unknown) => {
      held.release();
      span?.end(failure);
    };
    try {
      const response = await this.#capability(asked, lack, (llm, own) => llm.passthrough?.(route, body, own));
      return whenRead(response, (whole) => end(whole ? undefined : (leftBecause(call) ?? "CANCELLED")));
    } catch (error) {
      end(error);
      throw error;
    }
  }

  languageModels() {
    const names = [...this.#parts.registry.generations()]
      .filter(({ runtime }) => runtime.llm !== undefined)
      .map(({ spec }) => spec.name);
    return [...new Set(names)].sort().flatMap((name) => this.languageModel(name) ?? []);
  }

  languageModel(name: string): LanguageModelEntry | undefined {
    const generation = this.#parts.registry.current(name);
    const llm = generation?.runtime.llm;
    if (generation === undefined || llm === undefined) return undefined;
    const { version } = generation.spec;
    const { inputs, passthrough } = llm;
    return { name, version, ...(inputs && { inputs }), ...(passthrough && { upstream: true }) };
  }

  signature(model: string, version: string | undefined): readonly TensorSpec[] | undefined {
    return this.#parts.registry.find(model, version).runtime.inputs;
  }

  serverMetadata(): ServerMetadata {
    return this.#parts.server;
  }

  serverReady(): boolean {
    return this.#parts.ready();
  }

  modelMetadata(model: string, version?: string): ModelMetadata {
    const generation = this.#parts.registry.find(model, version);
    return describeModel(generation, this.#parts.registry.versions(model));
  }

  modelReady(model: string, version?: string): boolean {
    try {
      return this.#parts.registry.find(model, version).runtime.ready?.() ?? true;
    } catch (error) {
      if (toCapstanError(error).code === "NOT_READY") return false;
      throw error;
    }
  }

  modelConfig(model: string, version?: string): ModelConfig {
    return describeConfig(this.#parts.registry.find(model, version));
  }

  statistics(model?: string, version?: string): readonly ModelStatistics[] {
    return this.#selected(model, version).map(({ spec, statistics }) =>
      statistics.snapshot(spec.name, spec.version),
    );
  }

  /** Uses what a language model may or may not be able to do. */
  #capability<T>(
    asked: Asked,
    lack: string,
    use: (llm: CapLLM, call: Call) => Promise<T> | undefined,
  ): Promise<T> {
    return this.#work(asked, (generation, own) => {
      const result = use(languageModel(generation), own);
      if (result === undefined) throw new CapstanError("UNSUPPORTED", `Model '${asked.model}' ${lack}`);
      return result;
    });
  }

  /** Holds a generation, and a place in it, while one answer is made; counts what came of it. */
  async #work<T>(asked: Asked, run: (generation: Generation, own: Call) => Promise<T>): Promise<T> {
    const { call } = asked;
    const generation = this.#acquire(asked);
    const span = asked.operation && beginModelSpan(call, asked.operation, generation);
    const own = withSpan(call, span);
    const started = performance.now();
    let place: Disposable | undefined;
    try {
      if (generation.admission) place = await this.#places.take(generation, asked.session, own);
      const result = await run(generation, own);
      this.#succeeded(generation, started);
      span?.end();
      return result;
    } catch (error) {
      span?.end(error);
      throw this.#failed(generation, started, error);
    } finally {
      place?.[Symbol.dispose]();
      generation.release();
    }
  }

  /** As {@link #work}, for answers that come in parts; leaving early lets go as well. */
  async *#stream<T>(
    asked: Asked,
    run: (generation: Generation, own: Call) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const { call } = asked;
    const generation = this.#acquire(asked);
    const span = asked.operation && beginModelSpan(call, asked.operation, generation);
    const own = withSpan(call, span);
    const started = performance.now();
    let place: Disposable | undefined;
    try {
      if (generation.admission) place = await this.#places.take(generation, asked.session, own);
      yield* run(generation, own);
      this.#succeeded(generation, started);
      span?.end();
    } catch (error) {
      span?.end(error);
      throw this.#failed(generation, started, error);
    } finally {
      span?.end(leftBecause(call));
      place?.[Symbol.dispose]();
      generation.release();
    }
  }

  /** The generation that answers, held until it is released. */
  #acquire({ model, version, call, session }: Asked): Generation {
    const generation = this.#parts.registry.find(model, version, session ?? callerOf(call)).acquire();
    noteModel(call, generation);
    return generation;
  }

  #selected(model: string | undefined, version: string | undefined): Generation[] {
    const { registry } = this.#parts;
    if (!model) return [...registry.generations()];
    if (version) return [registry.find(model, version)];
    registry.find(model);
    return registry.versions(model).map((each) => registry.find(model, each));
  }

  #succeeded(generation: Generation, started: number): void {
    generation.statistics.succeeded(performance.now() - started);
  }

  #failed(generation: Generation, started: number, thrown: unknown): CapstanError {
    const error = toCapstanError(thrown);
    generation.statistics.failed(performance.now() - started, error.code === "CANCELLED");
    return error;
  }
}

/** Who a canary's share is told by, where there is no conversation. */
const callerOf = ({ principal, requestId }: Call): string => principal?.id ?? requestId;

function sessionOf({ parameters }: InferRequest): string | undefined {
  return typeof parameters.session_id === "string" ? parameters.session_id : undefined;
}

function noteModel({ record }: Call, { spec }: Generation): void {
  if (record === undefined) return;
  record.model = spec.name;
  record.version = spec.version;
}

function noteEmbeddings({ vectors, inputTokens }: Embeddings, { record, trace }: Call): Float32Array[] {
  const tokens = inputTokens.reduce((sum, count) => sum + count, 0);
  trace?.set({ "gen_ai.usage.input_tokens": tokens });
  if (record !== undefined) record.inputTokens = (record.inputTokens ?? 0) + tokens;
  return vectors;
}

function languageModel({ runtime, spec }: Generation): CapLLM {
  if (runtime.llm !== undefined) return runtime.llm;
  throw new CapstanError("UNSUPPORTED", `Model '${spec.name}' is not a language model`);
}

/** A model that can answer at once is asked to, where nobody needs the parts as they come. */
function answerOf(llm: CapLLM, request: ChatRequest, call: Call): AsyncIterable<Part> {
  return call.whole && llm.predictText ? wholeAnswer(llm, request, call) : llm.streamTokens(request, call);
}

async function* wholeAnswer(llm: CapLLM, request: ChatRequest, call: Call): AsyncGenerator<Part> {
  yield* partsOf(await llm.predictText!(request, call));
}
