import type { Call, CapLLM, ChatRequest, Host, ModelSpec, Part } from "../../src/contracts/index.ts";
import type { LangChainOptions, Reference } from "./options.ts";

/** A model that an application uses. */
export interface UsedModel extends AsyncDisposable {
  chat(request: ChatRequest, call: Call): AsyncIterable<Part>;
  embed(texts: readonly string[], call: Call): Promise<Float32Array[]>;
}

const OURS = "capstan:";

/**
 * The model that `llm` or `embed` refers to.
 * @throws CapstanError LOAD_FAILED when models would call each other in a cycle, or for faulty options of `openai`.
 */
export async function usedModel(
  reference: Reference,
  { llm_model, llm_api_key }: Partial<Pick<LangChainOptions, "llm_model" | "llm_api_key">>,
  model: ModelSpec,
  host: Host,
  call: Call,
): Promise<UsedModel> {
  if (typeof reference === "string" && reference.startsWith(OURS)) return ofServer(reference, host);
  const named = {
    ...(llm_model === undefined ? {} : { model: llm_model }),
    ...(llm_api_key === undefined ? {} : { api_key: llm_api_key }),
  };
  const options = typeof reference === "string" ? { base_url: reference, ...named } : reference;
  return upstream(await host.adapter("openai", model, options, call));
}

function ofServer(label: string, host: Host): UsedModel {
  const client = host.model(label.slice(OURS.length));
  return {
    chat: (request, call) => client.chat(request, call),
    embed: (texts, call) => client.embed(texts, call),
    async [Symbol.asyncDispose]() {},
  };
}

function upstream(llm: CapLLM): UsedModel {
  return {
    chat: (request, call) => llm.streamTokens(request, call),
    embed: async (texts, call) => (await llm.embed?.(texts, call)) ?? [],
    [Symbol.asyncDispose]: () => llm[Symbol.asyncDispose](),
  };
}
