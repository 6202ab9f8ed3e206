import pLimit from "p-limit";
import {
  type Call,
  type CapLLM,
  type ChatRequest,
  type Completion,
  foldParts,
  type InferRequest,
  type InferResponse,
  invalid,
  type Parameters,
  type Part,
  type Runtime,
} from "../../src/contracts/index.ts";
import { admitted } from "./facade.ts";
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
  readonly #llm: CapLLM;
  readonly #workload: Workload;

  /** @param llm checks its requests; it is disposed with the runtime. */
  constructor(llm: CapLLM, workload: Workload) {
    this.llm = admitted(llm, workload);
    this.#llm = llm;
    this.#workload = workload;
  }

  prepare(request: InferRequest): InferRequest {
    return normalize(request);
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    this.#workload.admit(call);
    return this.#workload.run(async () => {
      const completions = await this.#completions(readRequest(request), call);
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
    for await (const part of this.#llm.streamTokens(asked, call)) {
      const response = partResponse(part, request);
      if (response !== undefined) yield response;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#llm[Symbol.asyncDispose]();
  }

  #completion(request: ChatRequest, given: Call): Promise<Completion> {
    const call = { ...given, whole: true };
    return this.#llm.predictText?.(request, call) ?? foldParts(this.#llm.streamTokens(request, call));
  }

  /** The first that fails ends the others: nobody would see them. */
  async #completions(asked: readonly ChatRequest[], call: Call): Promise<Completion[]> {
    if (asked.length === 1) return [await this.#completion(asked[0]!, call)];
    const failure = new AbortController();
    const shared = { ...call, signal: AbortSignal.any([call.signal, failure.signal]) };
    const work = await pLimit(MOST_AT_ONCE).map(asked, (each) =>
      this.#completion(each, shared).catch((error: unknown) => {
        failure.abort(error);
        return undefined;
      }),
    );
    shared.signal.throwIfAborted();
    return work as Completion[];
  }
}

/** Parameters are scalars, so the detail is JSON as a text. */
function stepParameters({ name, detail }: Extract<Part, { type: "step" }>): Parameters {
  return { step: name, ...(detail === undefined ? {} : { step_detail: JSON.stringify(detail) }) };
}

function completionRow({ choices, usage }: Completion): Row {
  return row(choices[0]!.text, choices[0]!.reason, usage.inputTokens, usage.outputTokens);
}

function row(text_output: string, finish_reason = "", input_tokens = 0, output_tokens = 0): Row {
  return { text_output, finish_reason, input_tokens, output_tokens };
}

/**
 * Nothing for what V2 has no output for. The steps of an application are there for who asks for them (`include_steps`):
 * parameters of a response without text.
 */
function partResponse(part: Part, { outputs, parameters: asked }: InferRequest): InferResponse | undefined {
  if (part.type === "text") return { outputs: outputsOf([row(part.text)], outputs) };
  if (part.type === "step" && asked.include_steps === true)
    return { outputs: outputsOf([row("")], outputs), parameters: stepParameters(part) };
  if (part.type !== "finish") return undefined;
  const last = row("", part.reason, part.usage.inputTokens, part.usage.outputTokens);
  const { text_output: _, ...parameters } = last;
  return { outputs: outputsOf([last], outputs), parameters: { ...parameters, triton_final_response: true } };
}
