import type { Completion, Part, Usage } from "../contracts/index.ts";
import type { capstan } from "./generated/llm.js";

type Chunk = capstan.llm.v1.ChatChunk.Init;

/** An answer of one choice: there is no field to ask for more. */
export function writeCompletion({
  choices,
  usage,
}: Completion): Pick<capstan.llm.v1.ChatResponse.Init, "content" | "finishReason" | "usage"> {
  const [choice] = choices;
  return { content: choice?.text, finishReason: choice?.reason, usage: usageOf(usage) };
}

function usageOf({ inputTokens, outputTokens }: Usage): capstan.llm.v1.Usage.Init {
  return {
    promptTokens: inputTokens,
    completionTokens: outputTokens,
    totalTokens: inputTokens + outputTokens,
  };
}

/** The chunks of one answer, numbered and timed. */
export class Chunks {
  readonly #id: string;
  readonly #elapsedMs: () => number;
  readonly #withSteps: boolean;
  #index = 0;
  #firstTextMs: number | undefined;
  #finished = false;

  /**
   * @param elapsedMs milliseconds since the request's arrival.
   * @param withSteps the steps of an application are chunks as well.
   */
  constructor(id: string, elapsedMs: () => number, withSteps: boolean) {
    this.#id = id;
    this.#withSteps = withSteps;
    this.#elapsedMs = elapsedMs;
  }

  /** Whether the last chunk was made. */
  get finished(): boolean {
    return this.#finished;
  }

  /** The chunk that says a part; undefined where ChatChunk has no field for it. */
  of(part: Part): Chunk | undefined {
    if (part.type === "finish") {
      this.#finished = true;
      return this.#chunk({ finishReason: part.reason, usage: usageOf(part.usage) });
    }
    if (part.type === "step" && this.#withSteps) {
      const { name, detail } = part;
      return this.#chunk({ step: { name, detail: detail === undefined ? "" : JSON.stringify(detail) } });
    }
    if (part.type !== "text" || part.text === "") return undefined;
    this.#firstTextMs ??= this.#elapsedMs();
    return this.#chunk({ delta: part.text });
  }

  #chunk(said: Pick<Chunk, "delta" | "finishReason" | "usage" | "step">): Chunk {
    const index = this.#index;
    this.#index += 1;
    return {
      ...said,
      id: this.#id,
      index,
      latencyMs: this.#elapsedMs(),
      timeToFirstTokenMs: this.#firstTextMs,
    };
  }
}
