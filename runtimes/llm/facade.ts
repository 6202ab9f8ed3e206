import {
  type ApplicationInput,
  type Call,
  type CapLLM,
  type Embeddings,
  withTokens,
} from "../../src/contracts/index.ts";
import type { LanguageModel } from "./model.ts";
import type { Workload } from "./workload.ts";

export type Capability = "predictText" | "embed" | "tokenize" | "passthrough";

export const CAPABILITIES: readonly Capability[] = ["predictText", "embed", "tokenize", "passthrough"];

/**
 * A model as a CapLLM: every request is checked.
 * @param capabilities members that it has; one that the adapter turns out to lack is UNSUPPORTED.
 * @param inputs of an application, as its adapter gives them; not known of one that is lazy.
 */
export function facade(
  model: LanguageModel,
  capabilities: ReadonlySet<Capability>,
  dispose: () => Promise<void>,
  inputs?: readonly ApplicationInput[],
): CapLLM {
  const present = Object.entries(optionalMembers(model)).filter(([name]) =>
    capabilities.has(name as Capability),
  );
  return {
    async *streamTokens(request, call) {
      yield* model.parts(model.check(request), call);
    },
    ...Object.fromEntries(present),
    ...(inputs && { inputs }),
    [Symbol.asyncDispose]: dispose,
  };
}

function optionalMembers(model: LanguageModel): Required<Pick<CapLLM, Capability>> {
  const lacking = (what: string) => Promise.reject(model.lacks(what));
  return {
    predictText: async (request, call) => model.completion(model.check(request), call),
    embed: (texts, call) =>
      model.use(
        (llm) => (llm.embed ? embeddings(llm, texts, call) : lacking("does not make embeddings")),
        call,
      ),
    tokenize: (text, call) =>
      model.use((llm) => llm.tokenize?.(text, call) ?? lacking("does not tell its tokens"), call),
    passthrough: (route, body, call) => model.passthrough(route, body, call),
  };
}

async function embeddings(llm: CapLLM, texts: readonly string[], call: Call): Promise<Embeddings> {
  const answer = await llm.embed!(texts, call);
  if (!Array.isArray(answer) || llm.tokenize === undefined) return withTokens(answer, texts);
  const inputTokens: number[] = [];
  for (const text of texts) inputTokens.push((await llm.tokenize(text, call)).length);
  return { vectors: answer, inputTokens };
}

/** The same model as callers from outside have it: each call is admitted first, and counted. */
export function admitted(llm: CapLLM, workload: Workload): CapLLM {
  const work = async <T>(call: Call, run: () => Promise<T>): Promise<T> => {
    workload.admit(call);
    return workload.run(run);
  };
  const { predictText, embed, tokenize, passthrough, inputs } = llm;
  return {
    async *streamTokens(request, call) {
      workload.admit(call);
      yield* llm.streamTokens(request, call);
    },
    ...(inputs && { inputs }),
    ...(predictText && { predictText: (request, call) => work(call, () => predictText(request, call)) }),
    ...(embed && { embed: (texts, call) => work(call, () => embed(texts, call)) }),
    ...(tokenize && { tokenize: (text, call) => work(call, () => tokenize(text, call)) }),
    ...(passthrough && {
      passthrough: (route, body, call) => work(call, () => passthrough(route, body, call)),
    }),
    [Symbol.asyncDispose]: () => llm[Symbol.asyncDispose](),
  };
}
