import type { Call, CapLLM, ChatRequest, Part } from "../../src/contracts/index.ts";
import type { Application } from "./application.ts";
import { questionOf } from "./messages.ts";
import { citationLines, type Piece, pieceOf, type Source } from "./pieces.ts";
import { pull } from "./pull.ts";
import { Work } from "./work.ts";

export interface ModelParts {
  readonly application: Application;
  readonly citations: boolean;
  /** Runs a step of the application for a request. */
  readonly enter: <T>(work: Work, step: () => T) => T;
  /** What the application's code threw, as the caller is told. */
  readonly blame: (error: unknown) => unknown;
  readonly resources: AsyncDisposableStack;
}

/** A LlamaIndex application as a language model. */
export class LlamaIndexModel implements CapLLM {
  readonly #parts: ModelParts;

  constructor(parts: ModelParts) {
    this.#parts = parts;
  }

  /**
   * Text, `tool-call` and `tool-result` steps of an agent, and before the finish a step `sources` with the nodes that
   * the answer was made from. The usage is that of all model calls together.
   */
  async *streamTokens(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    call.signal.throwIfAborted();
    const question = questionOf(request);
    await using work = new Work(call, request.sampling);
    const answer = new Answer();
    try {
      const { application } = this.#parts;
      work.detached = application.detached;
      const start = () => application.ask(question);
      const enter = <T>(step: () => T) => this.#parts.enter(work, step);
      for await (const item of pull(start, enter, work.stopped)) {
        yield* answer.add(pieceOf(item));
        call.signal.throwIfAborted();
      }
      call.signal.throwIfAborted();
    } catch (error) {
      call.signal.throwIfAborted();
      throw this.#parts.blame(error);
    }
    if (!answer.hasText && work.failure !== undefined) throw work.failure;
    yield* answer.end(this.#parts.citations);
    const { inputTokens, outputTokens, reason } = work;
    yield { type: "finish", choice: 0, reason, usage: { inputTokens, outputTokens } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.resources.disposeAsync();
  }
}

/** What is kept of an answer until its end. */
class Answer {
  hasText = false;
  #sources: readonly Source[] = [];
  #whole = "";

  add({ parts, sources, whole }: Piece): readonly Part[] {
    this.hasText ||= parts.some(({ type }) => type === "text");
    if (sources.length > 0) this.#sources = sources;
    this.#whole = whole ?? this.#whole;
    return parts;
  }

  *end(citations: boolean): Generator<Part> {
    if (!this.hasText && this.#whole !== "") yield { type: "text", choice: 0, text: this.#whole };
    if (this.#sources.length === 0) return;
    if (citations) yield { type: "text", choice: 0, text: `\n\n${citationLines(this.#sources)}` };
    yield { type: "step", choice: 0, name: "sources", detail: this.#sources };
  }
}
