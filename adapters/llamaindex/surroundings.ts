import type { BaseEmbedding, LLMChatParamsBase, ToolCallLLM } from "llamaindex";
import { type Call, CapstanError, type Host, type ModelSpec, type Part } from "../../src/contracts/index.ts";
import { Fit } from "./fit.ts";
import { embeddingModel, type Library, languageModel, withModels } from "./library.ts";
import { modelRequest } from "./messages.ts";
import { usedModel } from "./models.ts";
import type { LlamaIndexOptions } from "./options.ts";
import type { Stored } from "./stored.ts";
import { CurrentWork, Work } from "./work.ts";

export interface SurroundingsParts {
  readonly library: Library;
  readonly model: ModelSpec;
  readonly options: LlamaIndexOptions;
  readonly stored: Stored | undefined;
  readonly host: Host;
}

/** What an application runs in: its models, in place of LlamaIndex's global ones, and the request it works for. */
export class Surroundings {
  readonly library: Library;
  readonly llm: ToolCallLLM;
  readonly embed: BaseEmbedding;
  readonly #current: CurrentWork;

  private constructor(library: Library, llm: ToolCallLLM, embed: BaseEmbedding, current: CurrentWork) {
    this.library = library;
    this.llm = llm;
    this.embed = embed;
    this.#current = current;
  }

  /**
   * @param opened gets what must be closed.
   * @throws CapstanError LOAD_FAILED when the embedding model does not fit the storage.
   */
  static async open(
    parts: SurroundingsParts,
    opened: AsyncDisposableStack,
    call: Call,
  ): Promise<Surroundings> {
    const { library, model, options, stored, host } = parts;
    const written = opened.use(await usedModel(options.llm, "llm", model, host, call));
    const embedding = opened.use(await usedModel(options.embed, "embed", model, host, call));
    const fit = new Fit(model, embedding, stored);
    if (options.embed !== undefined) await fit.check(call);
    const current = new CurrentWork(opened.use(background(call)));
    const chat = (params: LLMChatParamsBase) => {
      const work = current.get();
      const parts = () => written.chat(modelRequest(params, work.sampling), work.call);
      return work.follow(() => (work.detached ? knownTools(parts(), params) : parts()));
    };
    const vectors = (texts: readonly string[]) => {
      const work = current.get();
      return work.result(fit.vectors(texts, work.call));
    };
    const llm = languageModel(library, { name: written.label, contextWindow: options.context_window, chat });
    return new Surroundings(library, llm, embeddingModel(library, vectors), current);
  }

  /** Runs a step of the application for a request. */
  enter<T>(work: Work, step: () => T): T {
    return this.#current.run(work, () => withModels(this.library, this.llm, this.embed, step));
  }
}

/** A model that calls what it was not given: a workflow would throw that into the void. */
async function* knownTools(
  parts: AsyncIterable<Part>,
  { tools = [] }: LLMChatParamsBase,
): AsyncGenerator<Part> {
  for await (const part of parts) {
    if (part.type === "tool-call" && !tools.some(({ metadata }) => metadata.name === part.call.name)) {
      const names = tools.map(({ metadata }) => metadata.name).join(", ") || "none";
      throw new CapstanError(
        "UPSTREAM",
        `The model called a tool '${part.call.name}', and there is ${names}`,
      );
    }
    yield part;
  }
}

/** It lasts as long as the model. */
function background({ requestId, log }: Call): Work {
  return new Work({ requestId, log, signal: new AbortController().signal });
}
