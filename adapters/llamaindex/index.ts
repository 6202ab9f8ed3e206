import {
  type Call,
  type CapLLM,
  defineAdapter,
  type Host,
  type ModelSpec,
  type UserCode,
} from "../../src/contracts/index.ts";
import { type Application, applicationOf, exportedApplication } from "./application.ts";
import { type Entry, findEntry } from "./entry.ts";
import { failed } from "./failed.ts";
import { importLibrary, storageContext, vectorIndex } from "./library.ts";
import { LlamaIndexModel } from "./model.ts";
import { type LlamaIndexOptions, llamaindexOptions } from "./options.ts";
import { readStorage } from "./storage.ts";
import type { Stored } from "./stored.ts";
import { Surroundings } from "./surroundings.ts";
import { atLoad, atRequest } from "./user-fault.ts";
import { Work } from "./work.ts";

/**
 * Serves applications written with LlamaIndex for TypeScript (imported when the first one loads), and indexes that it
 * or LlamaIndex for Python persisted.
 */
export default defineAdapter<LlamaIndexOptions>({
  name: "llamaindex",
  options: llamaindexOptions,
  overridable: ["engine", "top_k", "citations", "context_window"],
  load,
});

async function load(model: ModelSpec, options: LlamaIndexOptions, host: Host, call: Call): Promise<CapLLM> {
  call.signal.throwIfAborted();
  const entry = await findEntry(model);
  requireModels(model, entry, options);
  const { storage } = entry;
  const stored = storage === undefined ? undefined : await readStorage(model, storage, options.index_id);
  await using opened = new AsyncDisposableStack();
  const library = await importLibrary(model);
  const around = await Surroundings.open({ library, model, options, stored, host }, opened, call);
  await using work = new Work(call);
  const { application, code } = await around.enter(work, () => {
    const memory = model.remembers === true;
    return open(entry, { around, stored, options, host, memory }, opened, work.call);
  });
  call.signal.throwIfAborted();
  return new LlamaIndexModel({
    application,
    citations: options.citations,
    enter: (each, step) => around.enter(each, step),
    blame: (error) => atRequest(model, code, error),
    resources: opened.move(),
  });
}

/** Code may bring models of its own; a storage by itself has none. */
function requireModels(model: ModelSpec, { code }: Entry, { llm, embed }: LlamaIndexOptions): void {
  if (code !== undefined || (llm !== undefined && embed !== undefined)) return;
  const missing = llm === undefined ? "llm" : "embed";
  const what = missing === "llm" ? "writes the answers" : "made the vectors in storage";
  throw failed(
    model,
    `set ${missing} in parameters.extra to the model that ${what}, such as "capstan:<model>"`,
  );
}

interface Parts {
  readonly around: Surroundings;
  readonly stored: Stored | undefined;
  readonly options: LlamaIndexOptions;
  readonly host: Host;
  /** Whether the server remembers conversations. */
  readonly memory: boolean;
}

interface Opened {
  readonly application: Application;
  readonly code?: UserCode;
}

async function open(entry: Entry, parts: Parts, opened: AsyncDisposableStack, call: Call): Promise<Opened> {
  const { around, stored, options, host, memory } = parts;
  const { library, llm, embed } = around;
  const storage = stored && (await storageContext(library, stored, embed));
  const index = storage && (await vectorIndex(library, storage));
  if (entry.code === undefined) return { application: applicationOf(index, options)! };
  const code = opened.use(await host.code(entry.code, call));
  try {
    const given = { llm, embed, storage, index, memory, config: options.config };
    return { application: await exportedApplication(code, given, options), code };
  } catch (error) {
    throw atLoad(code, error);
  }
}
