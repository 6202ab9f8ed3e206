import {
  type Call,
  type CapLLM,
  defineAdapter,
  type Host,
  type ModelSpec,
  type UserCode,
  useModel,
} from "../../src/contracts/index.ts";
import { type Application, exportedApplication, type Given, remembers } from "./application.ts";
import { chatModel, embeddingModel } from "./chat-model.ts";
import { findEntry } from "./entry.ts";
import { setEnvironment } from "./environment.ts";
import { failed } from "./failed.ts";
import { importLibrary, type Library } from "./library.ts";
import { LangChainModel } from "./model.ts";
import { type LangChainOptions, langchainOptions } from "./options.ts";
import { unlessAborted } from "./pull.ts";
import { atLoad, atRequest } from "./user-fault.ts";
import { CurrentWork, Work } from "./work.ts";

/**
 * Serves applications written with LangChain and LangGraph for TypeScript (imported when the first one loads): graphs
 * of a langgraph.json, or what a `model.ts` exports.
 */
export default defineAdapter<LangChainOptions>({
  name: "langchain",
  options: langchainOptions,
  overridable: ["recursion_limit", "nodes", "output"],
  load,
});

async function load(model: ModelSpec, options: LangChainOptions, host: Host, call: Call): Promise<CapLLM> {
  call.signal.throwIfAborted();
  const entry = await findEntry(model, options);
  const library = await importLibrary(model);
  await using opened = new AsyncDisposableStack();
  opened.use(setEnvironment(model, entry.environment));
  const current = new CurrentWork(opened.use(background(call)));
  const models = await usedModels({ model, options, host, library, current }, opened, call);
  const code = opened.use(await host.code(entry.file, call));
  const { config, configurable } = options;
  const given = { ...models, memory: model.remembers === true, config, configurable };
  const application = await made(code, entry.name, given, call);
  refuseTwoMemories(model, application);
  call.signal.throwIfAborted();
  return new LangChainModel({
    application,
    library,
    options,
    current,
    blame: (error) => atRequest(model, code, options.recursion_limit, error),
    resources: opened.move(),
  });
}

/** It lasts as long as the model. */
function background({ requestId, log }: Call): Work {
  return new Work({ requestId, log, signal: new AbortController().signal });
}

interface Parts {
  readonly model: ModelSpec;
  readonly options: LangChainOptions;
  readonly host: Host;
  readonly library: Library;
  readonly current: CurrentWork;
}

/** The models that a factory gets. */
async function usedModels(
  { model, options, host, library, current }: Parts,
  opened: AsyncDisposableStack,
  call: Call,
) {
  const { llm, llm_model, llm_api_key, embed } = options;
  const named = {
    ...(llm_model === undefined ? {} : { model: llm_model }),
    ...(llm_api_key === undefined ? {} : { api_key: llm_api_key }),
  };
  const written = llm && opened.use(await useModel(llm, model, host, call, named));
  const vectors = embed && opened.use(await useModel(embed, model, host, call));
  return {
    ...(written && { llm: chatModel(library, written, current) }),
    ...(vectors && { embed: embeddingModel(library, vectors, current) }),
  };
}

async function made(
  code: UserCode,
  name: string | undefined,
  given: Given,
  call: Call,
): Promise<Application> {
  try {
    return await unlessAborted(exportedApplication(code, name, given), call.signal);
  } catch (error) {
    call.signal.throwIfAborted();
    throw atLoad(code, error);
  }
}

function refuseTwoMemories(model: ModelSpec, application: Application): void {
  if (model.remembers !== true || !remembers(application)) return;
  const advice = "remove memory from parameters.extra, or compile the graph without a checkpointer";
  throw failed(model, `memory is set, and the graph has a checkpointer: both would remember. ${advice}`);
}
