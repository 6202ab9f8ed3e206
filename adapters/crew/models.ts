import {
  type Call,
  CapstanError,
  type ChatRequest,
  type Host,
  isCapstanError,
  type ModelSpec,
  type Part,
  useModel,
} from "../../src/contracts/index.ts";
import type { Reference } from "./options.ts";

/** A language model that agents use. */
export interface UsedModel {
  /** As in the settings, for messages. */
  readonly label: string;
  /** Learned in use: whether it refuses tools. */
  refusesTools: boolean;
  /** @throws CapstanError that names the model. */
  chat(request: ChatRequest, call: Call): AsyncIterable<Part>;
}

/** Opens each model once, however many agents use it. What must be closed is put in `opened`. */
export class Models {
  readonly #model: ModelSpec;
  readonly #host: Host;
  readonly #opened: AsyncDisposableStack;
  readonly #known = new Map<string, UsedModel>();

  constructor(model: ModelSpec, host: Host, opened: AsyncDisposableStack) {
    this.#model = model;
    this.#host = host;
    this.#opened = opened;
  }

  /** @throws CapstanError LOAD_FAILED when models would call each other in a cycle, or for faulty options of `openai`. */
  async open(reference: Reference, call: Call): Promise<UsedModel> {
    const key = JSON.stringify(reference);
    const known = this.#known.get(key) ?? (await this.#open(reference, call));
    this.#known.set(key, known);
    return known;
  }

  async #open(reference: Reference, call: Call): Promise<UsedModel> {
    const model = this.#opened.use(await useModel(reference, this.#model, this.#host, call));
    const { label } = model;
    return {
      label,
      refusesTools: false,
      chat: (request, inner) => naming(label, () => model.chat(request, inner)),
    };
  }
}

async function* naming(label: string, chat: () => AsyncIterable<Part>): AsyncGenerator<Part> {
  try {
    yield* chat();
  } catch (cause) {
    if (!isCapstanError(cause)) throw cause;
    const { code, retryAfterMs, param } = cause;
    throw new CapstanError(code, `llm '${label}': ${cause.message}`, { cause, retryAfterMs, param });
  }
}

/** The fault by which a model says that it takes no tools. */
export function isToolRefusal(error: unknown): boolean {
  return isCapstanError(error) && (error.code === "UNSUPPORTED" || error.param === "tools");
}
