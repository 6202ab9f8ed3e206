import {
  type Call,
  type ChatRequest,
  type ErrorCode,
  type Host,
  type ModelClient,
  type Part,
  toCapstanError,
} from "../../src/contracts/index.ts";

const CODES: ReadonlySet<ErrorCode> = new Set(["UPSTREAM", "DEADLINE_EXCEEDED", "RATE_LIMITED"]);

/** Other models of this server that answer when an upstream cannot. */
export class Fallbacks {
  readonly #model: string;
  readonly #others: readonly { readonly name: string; readonly client: ModelClient }[];

  /** @throws CapstanError LOAD_FAILED when the models would call each other in a cycle. */
  constructor(model: string, names: readonly string[], host: Host) {
    this.#model = model;
    this.#others = names.map((name) => ({ name, client: host.model(name) }));
  }

  /**
   * The answer of the first model that gives one.
   * @param first why the upstream gave none; thrown when no other model answers, or when the fault is not of a
   * kind that another model could make good.
   */
  async *chat(first: unknown, request: ChatRequest, call: Call): AsyncGenerator<Part> {
    if (!CODES.has(toCapstanError(first).code)) throw first;
    let reason = first;
    for (const { name, client } of this.#others) {
      const err = toCapstanError(reason).message;
      call.log.warn({ model: this.#model, fallback: name, err }, "Another model answers instead");
      let begun = false;
      try {
        for await (const part of client.chat(request, call)) {
          begun = true;
          yield part;
        }
        return;
      } catch (error) {
        call.signal.throwIfAborted();
        if (begun) throw error;
        reason = error;
      }
    }
    throw first;
  }
}
