import type { Llama, LlamaContext, LlamaModel, SequenceEvaluateOptions } from "node-llama-cpp";
import {
  type Call,
  type CapLLM,
  type ChatRequest,
  type ModelSpec,
  type Part,
  refuseUnsupported,
} from "../../src/contracts/index.ts";
import { failed } from "./artifact.ts";
import { endsOf, grammarOf } from "./format.ts";
import { generate } from "./generate.ts";
import { type Library, why } from "./library.ts";
import { wantedLogprobs } from "./logprobs.ts";
import { merge } from "./merge.ts";
import { DEFAULT_CONTEXT, type LlamaOptions } from "./options.ts";
import { Prompts } from "./prompt.ts";
import { sampleInTurn } from "./sample-in-turn.ts";
import { Sequences } from "./sequences.ts";

/** Beyond the sampling settings, all of which it has. */
const TAKES = ["n", "response_format", "logprobs", "top_logprobs"];

type Grammar = SequenceEvaluateOptions["grammarEvaluationState"];

interface GeneratorParts {
  readonly library: Library;
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly prompts: Prompts;
  readonly sequences: Sequences;
}

/** A model that writes text. It owns the model and its context. */
export class Generator implements CapLLM {
  readonly #parts: GeneratorParts;

  private constructor(parts: GeneratorParts) {
    this.#parts = parts;
  }

  /** @throws CapstanError LOAD_FAILED for a template that is not understood, or too little memory. */
  static async open(
    spec: ModelSpec,
    library: Library,
    model: LlamaModel,
    options: LlamaOptions,
    { signal }: Call,
  ): Promise<Generator> {
    const prompts = new Prompts(spec, model, options.chat_template);
    const opened = await openContext(model, options, signal).catch(async (cause) => {
      signal.throwIfAborted();
      throw failed(spec, `no context of ${options.sequences} sequences: ${await why(cause)}`, cause);
    });
    const sequences = new Sequences(spec.name, opened);
    return new Generator({ library, llama: model.llama, model, prompts, sequences });
  }

  async *streamTokens(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    call.signal.throwIfAborted();
    const { model, prompts, sequences, llama } = this.#parts;
    sequences.closing.throwIfAborted();
    refuseUnsupported(request, "llama-cpp", TAKES);
    const logprobs = wantedLogprobs(request);
    const prompt = prompts.tokens(request);
    const grammar = await grammarOf(request, llama);
    const left = new AbortController();
    const signal = AbortSignal.any([call.signal, left.signal, sequences.closing]);
    const own: Call = { signal, requestId: call.requestId, log: call.log };
    const { stop = [] } = request.sampling;
    const sampling = { ...request.sampling, stop: [...stop, ...endsOf(grammar)] };
    const choices = Array.from({ length: request.n ?? 1 }, (_, choice) => {
      const answer = { choice, prompt, sampling, grammar: this.#grammar(grammar), logprobs };
      return generate(model, sequences, answer, own);
    });
    try {
      yield* merge(choices);
    } finally {
      left.abort();
    }
  }

  async tokenize(text: string): Promise<readonly number[]> {
    this.#parts.sequences.closing.throwIfAborted();
    return this.#parts.model.tokenize(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.sequences[Symbol.asyncDispose]();
    await this.#parts.model.dispose();
  }

  /** The state of a grammar belongs to one answer. */
  #grammar(grammar: Awaited<ReturnType<typeof grammarOf>>): Grammar {
    if (grammar === undefined) return undefined;
    return new this.#parts.library.LlamaGrammarEvaluationState({ model: this.#parts.model, grammar });
  }
}

async function openContext(
  model: LlamaModel,
  options: LlamaOptions,
  signal: AbortSignal,
): Promise<LlamaContext> {
  const context = await model.createContext({
    sequences: options.sequences,
    contextSize: options.context_size ?? { max: Math.min(model.trainContextSize, DEFAULT_CONTEXT) },
    batchSize: options.batch_size,
    threads: options.threads,
    createSignal: signal,
  });
  sampleInTurn(context, model);
  return context;
}
