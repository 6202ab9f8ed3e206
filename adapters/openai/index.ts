import { defineAdapter } from "../../src/contracts/index.ts";
import { OpenaiModel } from "./model.ts";
import { type OpenaiOptions, openaiOptions } from "./options.ts";

/** Serves a model of any OpenAI-compatible server: vLLM, OpenAI, Azure, Ollama, llama.cpp and others. */
export default defineAdapter<OpenaiOptions>({
  name: "openai",
  options: openaiOptions,
  overridable: ["upstream_timeout", "idle_timeout", "max_retries"],
  /** Asks the upstream nothing: a server starts whether or not its upstreams have. */
  async load(model, options, host, call) {
    call.signal.throwIfAborted();
    return new OpenaiModel(model, options, host);
  },
});
