import type { PreTrainedModel, PreTrainedTokenizer } from "@huggingface/transformers";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed, type ModelFolder } from "./folder.ts";
import type { TransformersOptions } from "./options.ts";

export type Library = typeof import("@huggingface/transformers");

export interface Loaded {
  readonly library: Library;
  readonly tokenizer: PreTrainedTokenizer;
  readonly model: PreTrainedModel;
}

/**
 * transformers.js, an optional peer; it reads local folders only.
 * @throws CapstanError LOAD_FAILED with the line that installs it.
 */
export async function importLibrary(
  spec: ModelSpec,
  load: () => Promise<Library> = () => import("@huggingface/transformers"),
): Promise<Library> {
  try {
    const library = await load();
    library.env.allowRemoteModels = false;
    library.env.useFSCache = false;
    return library;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const why = missing
      ? "framework 'transformers' needs a package that is not installed: npm install @huggingface/transformers"
      : `@huggingface/transformers does not load: ${(cause as Error).message}`;
    throw failed(spec, why, cause);
  }
}

/** Models that go on with a text say so in their architecture; others give vectors. */
export const writesText = ({ config }: ModelFolder): boolean =>
  (config.architectures ?? []).some((name) => name.endsWith("ForCausalLM") || name.endsWith("LMHeadModel"));

/**
 * With device `auto` on what onnxruntime finds, and where its libraries are missing on the processor.
 * @throws CapstanError LOAD_FAILED with what the library or onnxruntime said.
 */
export async function loadFolder(
  spec: ModelSpec,
  library: Library,
  folder: ModelFolder,
  options: TransformersOptions,
): Promise<Loaded> {
  try {
    const tokenizer = await library.AutoTokenizer.from_pretrained(folder.path);
    return { library, tokenizer, model: await loadModel(library, folder, options) };
  } catch (cause) {
    throw failed(spec, `transformers.js cannot load ${folder.path}: ${(cause as Error).message}`, cause);
  }
}

async function loadModel(
  library: Library,
  folder: ModelFolder,
  options: TransformersOptions,
): Promise<PreTrainedModel> {
  const kind = writesText(folder) ? library.AutoModelForCausalLM : library.AutoModel;
  const session_options = { intraOpNumThreads: options.threads, interOpNumThreads: 1 };
  const load = (device: TransformersOptions["device"]) =>
    kind.from_pretrained(folder.path, { dtype: folder.dtype, device, session_options });
  if (options.device !== "auto") return load(options.device);
  return load("auto").catch(() => load("cpu"));
}
