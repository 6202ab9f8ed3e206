import { type Call, type CapLLM, defineAdapter, type ModelSpec } from "../../src/contracts/index.ts";
import { Embedder } from "./embedder.ts";
import { readFolder } from "./folder.ts";
import { Generator } from "./generator.ts";
import { importLibrary, loadFolder, writesText } from "./library.ts";
import { type TransformersOptions, transformersOptions } from "./options.ts";

/**
 * Serves Hugging Face folders in ONNX with transformers.js (imported when the first model loads, never a download).
 * Its sessions run on the calling thread, so it asks for a thread of its own.
 */
export default defineAdapter<TransformersOptions>({
  name: "transformers",
  options: transformersOptions,
  overridable: ["threads", "normalize", "pooling"],
  isolation: "thread",
  load,
});

async function load(
  spec: ModelSpec,
  options: TransformersOptions,
  _host: unknown,
  call: Call,
): Promise<CapLLM> {
  call.signal.throwIfAborted();
  const folder = await readFolder(spec, options);
  const library = await importLibrary(spec);
  const loaded = await loadFolder(spec, library, folder, options);
  if (call.signal.aborted) await loaded.model.dispose();
  call.signal.throwIfAborted();
  return writesText(folder)
    ? new Generator(spec, loaded, options.chat_template)
    : new Embedder(spec, loaded, folder.pooling, options.normalize);
}
