import type { Call, CapLLM, ChatRequest, Completion } from "../../src/contracts/index.ts";
import type { LanguageModel } from "./model.ts";
import type { Workload } from "./workload.ts";

export type Capability = "predictText" | "embed" | "tokenize" | "passthrough";

export const CAPABILITIES: readonly Capability[] = ["predictText", "embed", "tokenize", "passthrough"];

/**
 * A model as the host sees it: every call is admitted first, and counted.
 * @param capabilities members that it has, which are the adapter's where that is loaded already; one that
 * turns out to be missing later is UNSUPPORTED, except `predictText`, which can be had from the stream.
 */
export function facade(
  model: LanguageModel,
  workload: Workload,
  capabilities: ReadonlySet<Capability>,
  dispose: () => Promise<void>,
): CapLLM {
  const members = optionalMembers(model, workload);
  const present = Object.entries(members).filter(([name]) => capabilities.has(name as Capability));
  return {
    async *streamTokens(request: ChatRequest, call: Call) {
      workload.admit(call);
      yield* model.parts(model.check(request), call);
    },
    ...Object.fromEntries(present),
    [Symbol.asyncDispose]: dispose,
  };
}

function optionalMembers(model: LanguageModel, workload: Workload): Required<Pick<CapLLM, Capability>> {
  const admitted = async <T>(call: Call, work: () => Promise<T>): Promise<T> => {
    workload.admit(call);
    return workload.run(work);
  };
  const lacking = (what: string) => Promise.reject(model.lacks(what));
  return {
    predictText: (request: ChatRequest, call: Call): Promise<Completion> =>
      admitted(call, async () => model.completion(model.check(request), call)),
    embed: (texts, call) =>
      admitted(call, () =>
        model.use((llm) => llm.embed?.(texts, call) ?? lacking("does not make embeddings"), call),
      ),
    tokenize: (text, call) =>
      admitted(call, () =>
        model.use((llm) => llm.tokenize?.(text, call) ?? lacking("does not tell its tokens"), call),
      ),
    passthrough: (route, body, call) => admitted(call, () => model.passthrough(route, body, call)),
  };
}
