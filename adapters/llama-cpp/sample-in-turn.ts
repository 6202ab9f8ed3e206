import type { LlamaContext } from "node-llama-cpp";

type Sample = (...args: unknown[]) => Promise<unknown>;

/**
 * Makes the sequences of a context sample one after the other. llama.cpp puts the results of a step in order
 * when they are first read (llama_context::output_reorder), which is not safe on several threads, and
 * node-llama-cpp reads them for all sequences at once: now and then a sequence got another's token. The library
 * has no setting for it, so this reaches for its native object.
 * @throws Error when this version of the library has no such object.
 */
export function sampleInTurn(context: LlamaContext): void {
  const { _ctx: native } = context as unknown as { readonly _ctx?: { readonly sampleToken?: Sample } };
  const sample = native?.sampleToken?.bind(native);
  if (native === undefined || sample === undefined) {
    throw new Error("this version of node-llama-cpp is not known to sample safely; install 3.21.1");
  }
  let last: Promise<unknown> = Promise.resolve();
  const inTurn: Sample = (...args) => {
    const result = last.then(() => sample(...args));
    last = result.catch(() => {});
    return result;
  };
  Object.defineProperty(native, "sampleToken", { value: inTurn });
}
