import type { Call } from "./call.ts";
import type { CapLLM, ChatRequest, Part } from "./cap-llm.ts";
import { vectorsOf } from "./embeddings.ts";
import type { Host } from "./host.ts";
import type { ModelSpec } from "./runtime.ts";

const OURS = "capstan:";

/** What text names a model that an application uses; for the options of adapters, with what to say of other text. */
export const MODEL_ADDRESS = /^(capstan:.+|https?:\/\/.+)$/;
export const MODEL_ADDRESS_TEXT = 'must be "capstan:<model>", or the address of an OpenAI-compatible server';

/**
 * How the options of an adapter name a model that it uses: `capstan:<model>` of this server, the address of an
 * OpenAI-compatible server, or options of the adapter `openai`.
 */
export type ModelReference = string | Readonly<Record<string, unknown>>;

/** A model that an application uses. */
export interface UsedModel extends AsyncDisposable {
  /** For messages. */
  readonly label: string;
  chat(request: ChatRequest, call: Call): AsyncIterable<Part>;
  embed(texts: readonly string[], call: Call): Promise<Float32Array[]>;
}

/**
 * The model that a reference names, with the same use whether it is served here or elsewhere.
 * @param model that uses it.
 * @param named options of `openai` that go with an address.
 * @throws CapstanError LOAD_FAILED when models would call each other in a cycle, or for faulty options of `openai`.
 */
export async function useModel(
  reference: ModelReference,
  model: ModelSpec,
  host: Host,
  call: Call,
  named: Readonly<Record<string, unknown>> = {},
): Promise<UsedModel> {
  if (typeof reference === "string" && reference.startsWith(OURS)) return ofServer(reference, host);
  const options = typeof reference === "string" ? { base_url: reference, ...named } : reference;
  return upstream(await host.adapter("openai", model, options, call), labelOf(options, model));
}

function ofServer(label: string, host: Host): UsedModel {
  const client = host.model(label.slice(OURS.length));
  return {
    label,
    chat: (request, call) => client.chat(request, call),
    embed: (texts, call) => client.embed(texts, call),
    async [Symbol.asyncDispose]() {},
  };
}

function upstream(llm: CapLLM, label: string): UsedModel {
  return {
    label,
    chat: (request, call) => llm.streamTokens(request, call),
    embed: async (texts, call) => vectorsOf((await llm.embed?.(texts, call)) ?? []),
    [Symbol.asyncDispose]: () => llm[Symbol.asyncDispose](),
  };
}

/** Addresses may hold a password: only the host is shown. */
function labelOf({ base_url, model }: Readonly<Record<string, unknown>>, spec: ModelSpec): string {
  const [address] = [base_url].flat();
  const at = typeof address === "string" && URL.canParse(address) ? new URL(address).host : "its upstream";
  return `${typeof model === "string" ? model : spec.name} at ${at}`;
}
