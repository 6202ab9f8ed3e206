import {
  type Call,
  type CapLLM,
  CapstanError,
  type ChatRequest,
  type Host,
  isCapstanError,
  type ModelSpec,
  type Part,
} from "../../src/contracts/index.ts";
import type { Reference } from "./options.ts";

/** A model that an application uses. */
export interface UsedModel extends AsyncDisposable {
  /** As in the settings. */
  readonly label: string;
  chat(request: ChatRequest, call: Call): AsyncIterable<Part>;
  /** @throws CapstanError that names the model. */
  embed(texts: readonly string[], call: Call): Promise<Float32Array[]>;
}

const OURS = "capstan:";

/**
 * The model that an option refers to.
 * @param option its name, for what is said about it.
 * @throws CapstanError LOAD_FAILED when models would call each other in a cycle, or for faulty options of `openai`.
 */
export async function usedModel(
  reference: Reference | undefined,
  option: "llm" | "embed",
  model: ModelSpec,
  host: Host,
  call: Call,
): Promise<UsedModel> {
  if (reference === undefined) return missing(option, model);
  if (typeof reference === "string" && reference.startsWith(OURS)) return ofServer(reference, host);
  const options = typeof reference === "string" ? { base_url: reference } : reference;
  return upstream(await host.adapter("openai", model, options, call), labelOf(options, model));
}

function ofServer(label: string, host: Host): UsedModel {
  const client = host.model(label.slice(OURS.length));
  return {
    label,
    chat: (request, call) => client.chat(request, call),
    embed: (texts, call) => naming(label, () => client.embed(texts, call)),
    async [Symbol.asyncDispose]() {},
  };
}

function upstream(llm: CapLLM, label: string): UsedModel {
  return {
    label,
    chat: (request, call) => llm.streamTokens(request, call),
    embed: (texts, call) => naming(label, async () => (await llm.embed?.(texts, call)) ?? []),
    [Symbol.asyncDispose]: () => llm[Symbol.asyncDispose](),
  };
}

/** Addresses may hold a password: only the host is shown. */
function labelOf({ base_url, model }: Readonly<Record<string, unknown>>, spec: ModelSpec): string {
  const [address] = [base_url].flat();
  const at = typeof address === "string" && URL.canParse(address) ? new URL(address).host : "its upstream";
  return `${typeof model === "string" ? model : spec.name} at ${at}`;
}

/** In place of LlamaIndex's global setting, which all models of the process share. */
function missing(option: "llm" | "embed", { name }: ModelSpec): UsedModel {
  const what = option === "llm" ? "language model" : "embedding model";
  const refuse = (): never => {
    const text = `Model '${name}' has no ${what}: set ${option} in parameters.extra, as "capstan:<model>" or an address`;
    throw new CapstanError("LOAD_FAILED", text);
  };
  return { label: "none", chat: refuse, embed: async () => refuse(), async [Symbol.asyncDispose]() {} };
}

async function naming<T>(label: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!isCapstanError(cause)) throw cause;
    const { code, retryAfterMs } = cause;
    throw new CapstanError(code, `embed '${label}': ${cause.message}`, { cause, retryAfterMs });
  }
}
