import pLimit from "p-limit";
import {
  type Call,
  type CapLLM,
  type ChatRequest,
  type Completion,
  type InferRequest,
  type InferResponse,
  invalid,
  type Part,
  type Runtime,
} from "../../src/contracts/index.ts";
import type { LanguageModel } from "./model.ts";
import { INPUTS, OUTPUTS, outputsOf, type Row } from "./signature.ts";
import { normalize, readRequest } from "./v2-request.ts";
import type { Workload } from "./workload.ts";

/** Prompts of one request that are answered at the same time. */
const MOST_AT_ONCE = 32;

/** A language model over V2: texts or conversations in, texts out. */
export class LlmRuntime implements Runtime {
  readonly platform = "llm";
  readonly inputs = INPUTS;
  readonly outputs = OUTPUTS;
  readonly llm: CapLLM;
  readonly #model: LanguageModel;
  readonly #workload: Workload;

  /** @param llm the same model as its other callers have it; it disposes the model. */
  constructor(llm: CapLLM, model: LanguageModel, workload: Workload) {
    this.llm = llm;
    this.#model = model;
    this.#workload = workload;
  }

  prepare(request: InferRequest): InferRequest {
    return normalize(request);
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    this.#workload.admit(call);
    return this.#workload.run(async () => {
      const asked = readRequest(request).map((each) => this.#model.check(each));
      const completions = await this.#completions(asked, call);
      return { outputs: outputsOf(completions.map(completionRow), request.outputs) };
    });
  }

  /**
   * One response for each token, and a last one that holds no text and says how the answer ended, in its
   * parameters and in the outputs asked for. Those outputs are empty, or 0, in the responses before.
   */
  async *inferStream(request: InferRequest, call: Call): AsyncGenerator<InferResponse> {
    this.#workload.admit(call);
    const [asked, ...others] = readRequest(request);
    if (asked === undefined || others.length > 0) {
      const count = asked === undefined ? "none" : others.length + 1;
      throw invalid(`A stream answers one prompt, and the request has ${count}; send one request for each`);
    }
    for await (const part of this.#model.parts(this.#model.check(asked), call)) {
      const response = partResponse(part, request);
      if (response !== undefined) yield response;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.llm[Symbol.asyncDispose]();
  }

  /** The first that fails ends the others: nobody would see them. */
  async #completions(asked: readonly ChatRequest[], call: Call): Promise<Completion[]> {
    if (asked.length === 1) return [await this.#model.completion(asked[0]!, call)];
    const failure = new AbortController();
    const shared = { ...call, signal: AbortSignal.any([call.signal, failure.signal]) };
    const work = await pLimit(MOST_AT_ONCE).map(asked, (each) =>
      this.#model.completion(each, shared).catch((error: unknown) => {
        failure.abort(error);
        return undefined;
      }),
    );
    shared.signal.throwIfAborted();
    return work as Completion[];
  }
}

function completionRow({ choices, usage }: Completion): Row {
  return row(choices[0]!.text, choices[0]!.reason, usage.inputTokens, usage.outputTokens);
}

function row(text_output: string, finish_reason = "", input_tokens = 0, output_tokens = 0): Row {
  return { text_output, finish_reason, input_tokens, output_tokens };
}

/** Nothing for what V2 has no output for, such as the steps of an application. */
function partResponse(part: Part, { outputs }: InferRequest): InferResponse | undefined {
  if (part.type === "text") return { outputs: outputsOf([row(part.text)], outputs) };
  if (part.type !== "finish") return undefined;
  const last = row("", part.reason, part.usage.inputTokens, part.usage.outputTokens);
  const { text_output: _, ...parameters } = last;
  return { outputs: outputsOf([last], outputs), parameters: { ...parameters, triton_final_response: true } };
}
