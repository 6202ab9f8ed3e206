import type { LlamaContext, LlamaModel, Token } from "node-llama-cpp";
import { MOST_ALTERNATIVES } from "./logprobs.ts";

/** Tokens and probabilities in turn, the likeliest first. */
type Flat = readonly number[];
type Sample = (
  index: unknown,
  sampler: unknown,
  probabilities?: boolean,
  confidence?: boolean,
) => Promise<unknown>;

/** The members of the library's native objects that are used here. */
interface NativeSampler {
  applyConfig(config: object): unknown;
  dispose(): void;
}
interface NativeModel {
  readonly _model: unknown;
  readonly _llama: { readonly _bindings: { readonly AddonSampler: new (model: unknown) => NativeSampler } };
}

/**
 * Makes the sequences of a context sample one after the other. llama.cpp puts the results of a step in order
 * when they are first read (llama_context::output_reorder), which is not safe on several threads, and
 * node-llama-cpp reads them for all sequences at once: now and then a sequence got another's token. The library
 * has no setting for it, so this reaches for its native object.
 *
 * Probabilities, where they are asked for, are the model's own: the library's are those that are left after top-k, top-p,
 * temperature, penalties and grammar.
 * @throws Error when this version of the library has no such object.
 */
export function sampleInTurn(context: LlamaContext, model: LlamaModel): void {
  const { _ctx: native } = context as unknown as { readonly _ctx?: { readonly sampleToken?: Sample } };
  const sample = native?.sampleToken?.bind(native);
  if (native === undefined || sample === undefined) {
    throw new Error("this version of node-llama-cpp is not known to sample safely; install 3.21.1");
  }
  let plain: NativeSampler | undefined;
  context.onDispose.createOnceListener(() => plain?.dispose());
  const scored: Sample = async (index, sampler) => {
    plain ??= plainSampler(model);
    const [, all] = (await sample(index, plain, true)) as [Token, Flat];
    const token = (await sample(index, sampler)) as Token;
    return [token, worthKeeping(all, token)];
  };
  let last: Promise<unknown> = Promise.resolve();
  const inTurn: Sample = (index, sampler, probabilities = false, ...rest) => {
    const result = last.then(() =>
      probabilities ? scored(index, sampler) : sample(index, sampler, probabilities, ...rest),
    );
    last = result.catch(() => {});
    return result;
  };
  Object.defineProperty(native, "sampleToken", { value: inTurn });
}

/** Takes the likeliest token, and changes nothing before that. */
function plainSampler(model: LlamaModel): NativeSampler {
  const { _model, _llama } = model as unknown as NativeModel;
  const sampler = new _llama._bindings.AddonSampler(_model);
  sampler.applyConfig({});
  return sampler;
}

/** The library makes a map of what it gets: of a whole vocabulary, that would be slow. */
function worthKeeping(all: Flat, token: Token): Flat {
  const first = all.slice(0, 2 * MOST_ALTERNATIVES);
  const place = all.findIndex((value, at) => at % 2 === 0 && value === token);
  return place < first.length ? first : [...first, ...all.slice(place, place + 2)];
}
