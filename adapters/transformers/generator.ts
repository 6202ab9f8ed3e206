import { setImmediate } from "node:timers/promises";
import type { DynamicCache, PreTrainedTokenizer, Tensor } from "@huggingface/transformers";
import {
  type Call,
  type CapLLM,
  CapstanError,
  type ChatRequest,
  type FinishReason,
  invalid,
  type ModelSpec,
  type Part,
  refuseUnsupported,
  type Sampling,
} from "../../src/contracts/index.ts";
import type { Loaded } from "./library.ts";
import { promptTokens } from "./prompt.ts";
import { Sampler } from "./sampler.ts";
import { TokenText } from "./token-text.ts";

/** Of a model whose config does not say. */
const DEFAULT_CONTEXT = 2048;

/** A model that writes text. It owns the model and its sessions. */
export class Generator implements CapLLM {
  readonly #name: string;
  readonly #loaded: Loaded;
  readonly #template: string | undefined;
  readonly #closing = new AbortController();
  /** Steps under way: sessions are released when the last one has ended. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(spec: ModelSpec, loaded: Loaded, template: string | undefined) {
    this.#name = spec.name;
    this.#loaded = loaded;
    this.#template = template;
  }

  /** Choices take turns, token by token. */
  async *streamTokens(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    const signal = AbortSignal.any([call.signal, this.#closing.signal]);
    signal.throwIfAborted();
    refuseUnsupported(request, "transformers", ["n"]);
    const prompt = promptTokens(this.#loaded.tokenizer, request, this.#template);
    const limit = this.#outputLimit(prompt, request.sampling);
    if (limit === 0) return yield* nothing(prompt, request);
    let open = Array.from({ length: request.n ?? 1 }, (_, choice) => {
      return new Answer(this.#loaded, prompt, this.#sampling(request.sampling), choice, limit);
    });
    try {
      while (open.length > 0) {
        for (const answer of open) {
          yield* await this.#step(answer, signal);
          signal.throwIfAborted();
        }
        open = open.filter(({ finished }) => !finished);
      }
    } finally {
      await Promise.all(open.map((answer) => answer[Symbol.asyncDispose]()));
    }
  }

  async tokenize(text: string): Promise<readonly number[]> {
    return this.#loaded.tokenizer.encode(text, { add_special_tokens: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new CapstanError("NOT_READY", `Model '${this.#name}' is being unloaded`));
    await this.#last.catch(() => {});
    await this.#loaded.model.dispose();
  }

  /** One step after the other: a session runs on the calling thread, and two at once gain nothing. */
  #step(answer: Answer, signal: AbortSignal): Promise<Part[]> {
    const step = this.#last
      .catch(() => {})
      .then(async () => {
        await setImmediate();
        signal.throwIfAborted();
        return answer.step();
      });
    this.#last = step;
    return step;
  }

  #outputLimit(prompt: readonly number[], { maxTokens }: Sampling): number {
    const { max_position_embeddings: context = DEFAULT_CONTEXT } = this.#loaded.model.config as {
      max_position_embeddings?: number;
    };
    const room = context - prompt.length;
    if (room > 0) return Math.min(maxTokens ?? room, room);
    const text = `The prompt has ${prompt.length} tokens; at most ${context - 1} fit into this model's context`;
    throw invalid(text, { param: "messages" });
  }

  /** What the caller leaves out is as the folder's generation_config.json says. */
  #sampling(asked: Sampling): Sampling {
    const own = this.#loaded.model.generation_config as GenerationDefaults | null;
    if (own?.do_sample !== true || asked.temperature !== undefined) return asked;
    return { temperature: own.temperature ?? 1, topP: own.top_p, topK: own.top_k, ...defined(asked) };
  }
}

interface GenerationDefaults {
  readonly do_sample?: boolean;
  readonly temperature?: number;
  readonly top_p?: number;
  readonly top_k?: number;
  readonly eos_token_id?: number | number[] | null;
}

function* nothing(prompt: readonly number[], { n = 1 }: ChatRequest): Iterable<Part> {
  const usage = { inputTokens: prompt.length, outputTokens: 0 };
  for (let choice = 0; choice < n; choice++) yield { type: "finish", choice, reason: "length", usage };
}

const defined = (sampling: Sampling): Sampling =>
  Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined));

/** One choice of an answer, and the keys and values that the model keeps of it. */
class Answer implements AsyncDisposable {
  readonly #loaded: Loaded;
  readonly #prompt: readonly number[];
  readonly #choice: number;
  readonly #limit: number;
  readonly #sampler: Sampler;
  readonly #text: TokenText;
  readonly #ends: ReadonlySet<number>;
  readonly #written: number[] = [];
  #past: DynamicCache | null = null;
  finished = false;

  constructor(loaded: Loaded, prompt: readonly number[], sampling: Sampling, choice: number, limit: number) {
    this.#loaded = loaded;
    this.#prompt = prompt;
    this.#choice = choice;
    this.#limit = limit;
    this.#sampler = new Sampler(sampling, choice);
    this.#text = new TokenText(loaded.tokenizer);
    this.#ends = endTokens(loaded);
  }

  /** Writes one token, and says what it adds; the last step finishes. The end token counts as written. */
  async step(): Promise<Part[]> {
    const token = await this.#next();
    this.#written.push(token);
    const ended = this.#ends.has(token);
    const last = ended || this.#written.length === this.#limit;
    const text = ended ? "" : this.#text.push(token);
    const parts: Part[] = text === "" ? [] : [{ type: "text", choice: this.#choice, text }];
    return last ? [...parts, ...(await this.#finish(ended ? "stop" : "length"))] : parts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const past = this.#past;
    this.#past = null;
    await past?.dispose();
  }

  async #finish(reason: FinishReason): Promise<Part[]> {
    this.finished = true;
    const choice = this.#choice;
    await this[Symbol.asyncDispose]();
    const rest = this.#text.end();
    const usage = { inputTokens: this.#prompt.length, outputTokens: this.#written.length };
    return [
      ...(rest === "" ? [] : [{ type: "text", choice, text: rest } as const]),
      { type: "finish", choice, reason, usage },
    ];
  }

  /** The library makes one step and shows its logits; which token it takes itself does not matter. */
  async #next(): Promise<number> {
    const { library, model } = this.#loaded;
    const ids = [...this.#prompt, ...this.#written];
    let token = 0;
    const choose = (_ids: unknown, logits: Tensor): Tensor => {
      token = this.#sampler.next(Float32Array.from(logits.data as Float32Array), this.#written);
      return logits;
    };
    const processors = new library.LogitsProcessorList();
    processors.push(Object.assign(choose, {}) as never);
    const result = await model.generate({
      input_ids: tensorOf(library, ids.map(BigInt)),
      attention_mask: tensorOf(library, new Array<bigint>(ids.length).fill(1n)),
      past_key_values: this.#past,
      logits_processor: processors,
      max_new_tokens: 1,
      do_sample: false,
      return_dict_in_generate: true,
    } as never);
    this.#past = (result as unknown as { past_key_values: DynamicCache }).past_key_values;
    return token;
  }
}

function tensorOf(library: Loaded["library"], values: readonly bigint[]): Tensor {
  return new library.Tensor("int64", BigInt64Array.from(values), [1, values.length]);
}

function endTokens({ model, tokenizer }: Loaded): ReadonlySet<number> {
  const { eos_token_id: own } = (model.generation_config ?? {}) as GenerationDefaults;
  const ids = [own ?? (tokenizer as PreTrainedTokenizer & { eos_token_id?: number }).eos_token_id].flat();
  return new Set(ids.filter((id): id is number => typeof id === "number"));
}
