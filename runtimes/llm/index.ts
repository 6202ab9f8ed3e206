import {
  type ApplicationInput,
  type Call,
  type CapLLM,
  defineRuntime,
  type Host,
  type ModelSpec,
  type Runtime,
} from "../../src/contracts/index.ts";
import { Adapter } from "./adapter.ts";
import { CAPABILITIES, type Capability, facade } from "./facade.ts";
import { LanguageModel } from "./model.ts";
import { type LlmOptions, llmOptions, OWN_KEYS } from "./options.ts";
import { LlmRuntime } from "./runtime.ts";
import { Workload } from "./workload.ts";

/**
 * Serves a language model, or an application built on one, through the adapter that `framework` names. Keys
 * of `parameters.extra` that are not the runtime's own are the adapter's.
 */
export default defineRuntime<LlmOptions>({
  name: "llm",
  options: llmOptions,
  overridable: ["sampling", "max_output", "lazy", "idle_unload"],
  load,
});

async function load(model: ModelSpec, options: LlmOptions, host: Host, call: Call): Promise<Runtime> {
  call.signal.throwIfAborted();
  const { name } = model;
  const { framework, sampling, max_output, lazy } = options;
  if (model.inputs !== undefined || model.outputs !== undefined) {
    const text = "A language model has its own signature: inputs and outputs in the settings have no effect";
    call.log.warn({ model: name }, text);
  }
  const workload = new Workload(name);
  const adapter = adapterOf(model, options, host, call);
  const { capabilities, inputs }: Members = lazy
    ? { capabilities: PRESUMED }
    : await loadedMembers(adapter, call);
  const served = new LanguageModel({
    name,
    framework,
    adapter,
    workload,
    limits: { sampling, maxOutput: max_output },
  });
  const dispose = async () => {
    await workload.close();
    await adapter[Symbol.asyncDispose]();
  };
  const llm = host.languageModel(facade(served, new Set(capabilities), dispose, inputs));
  return new LlmRuntime(llm, workload);
}

function adapterOf(model: ModelSpec, options: LlmOptions, host: Host, { log }: Call): Adapter {
  const { framework, idle_unload } = options;
  const rest = Object.fromEntries(Object.entries(options).filter(([key]) => !OWN_KEYS.has(key)));
  return new Adapter({
    load: (call) => host.adapter(framework, model, rest, call),
    idleMs: idle_unload,
    onUnload(fault) {
      if (fault !== undefined) log.warn({ model: model.name, err: fault }, "The model was not freed cleanly");
      else log.info({ model: model.name }, "The model was freed");
    },
  });
}

/**
 * Of a model that is not loaded yet. Without `predictText`: an adapter that lacks it would be read to the end of its
 * stream before anything is counted, and who leaves in the middle would owe nothing.
 */
const PRESUMED = CAPABILITIES.filter((capability) => capability !== "predictText");

/** What an adapter's model has besides its stream. */
interface Members {
  readonly capabilities: readonly Capability[];
  readonly inputs?: readonly ApplicationInput[] | undefined;
}

async function loadedMembers(adapter: Adapter, call: Call): Promise<Members> {
  using lease = await adapter.acquire(call);
  const llm: CapLLM = lease.llm;
  const capabilities = CAPABILITIES.filter((capability) => llm[capability] !== undefined);
  return { capabilities, inputs: llm.inputs };
}
