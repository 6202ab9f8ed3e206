import {
  type Call,
  CapstanError,
  type Host,
  isCapstanError,
  type ModelSpec,
  type UsedModel,
  useModel,
} from "../../src/contracts/index.ts";
import type { Reference } from "./options.ts";

/**
 * The model that an option names. Its embeddings fail with errors that name it.
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
  const used = await useModel(reference, model, host, call);
  return { ...used, embed: (texts, inner) => naming(used.label, () => used.embed(texts, inner)) };
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
