import { type Call, type CapLLM, defineAdapter, type ModelSpec } from "../../src/contracts/index.ts";
import { ggufFile } from "./artifact.ts";
import { Embedder, isEmbedder } from "./embedder.ts";
import { Generator } from "./generator.ts";
import { bindingFor, importLibrary, loadModel } from "./library.ts";
import { type LlamaOptions, llamaOptions } from "./options.ts";

/** Serves GGUF files in this process with llama.cpp (node-llama-cpp, imported when the first model loads). */
export default defineAdapter<LlamaOptions>({
  name: "llama-cpp",
  options: llamaOptions,
  overridable: ["sequences", "threads", "context_size", "batch_size", "normalize"],
  load,
});

async function load(spec: ModelSpec, options: LlamaOptions, _host: unknown, call: Call): Promise<CapLLM> {
  call.signal.throwIfAborted();
  const modelPath = await ggufFile(spec);
  const library = await importLibrary(spec);
  const llama = await bindingFor(spec, library, options.device);
  const model = await loadModel(spec, llama, { modelPath, gpuLayers: options.gpu_layers }, call);
  try {
    if (isEmbedder(model)) return await Embedder.open(spec, model, options, call);
    return await Generator.open(spec, library, model, options, call);
  } catch (reason) {
    await model.dispose();
    throw reason;
  }
}
