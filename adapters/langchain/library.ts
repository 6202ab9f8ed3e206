import { readFile } from "node:fs/promises";
import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";

/** What is used of LangChain. Of LangGraph nothing is: its graphs are known by their shape. */
export interface Library {
  readonly messages: typeof import("@langchain/core/messages");
  readonly chatModels: typeof import("@langchain/core/language_models/chat_models");
  readonly outputs: typeof import("@langchain/core/outputs");
  readonly embeddings: typeof import("@langchain/core/embeddings");
  readonly tools: typeof import("@langchain/core/utils/function_calling");
  readonly streams: typeof import("@langchain/core/utils/stream");
  readonly callbacks: typeof import("@langchain/core/callbacks/base");
}

const NAME = "@langchain/core";
const PARTS: Readonly<Record<keyof Library, string>> = {
  messages: "./messages",
  chatModels: "./language_models/chat_models",
  outputs: "./outputs",
  embeddings: "./embeddings",
  tools: "./utils/function_calling",
  streams: "./utils/stream",
  callbacks: "./callbacks/base",
};

/**
 * LangChain, an optional peer: the copy that the model's own code imports, else the server's.
 * @throws CapstanError LOAD_FAILED with the line that installs it.
 */
export async function importLibrary(
  model: ModelSpec,
  find: (from: string) => string | undefined = (from) => findPackageJSON(NAME, from),
): Promise<Library> {
  const manifest = [pathToFileURL(join(model.artifact ?? model.folder, "_")).href, import.meta.url]
    .map((from) => found(find, from))
    .find((path) => path !== undefined);
  if (manifest === undefined) {
    const line = "npm install langchain @langchain/core @langchain/langgraph";
    throw failed(model, `framework 'langchain' needs packages that are not installed: ${line}`);
  }
  try {
    return await importParts(manifest);
  } catch (cause) {
    throw failed(model, `${NAME} does not load: ${(cause as Error).message}`, cause);
  }
}

function found(find: (from: string) => string | undefined, from: string): string | undefined {
  try {
    return find(from);
  } catch {
    return undefined;
  }
}

async function importParts(manifest: string): Promise<Library> {
  const { exports } = JSON.parse(await readFile(manifest, "utf8"));
  // What `import` takes, so that the user's code has the same classes.
  const imported = async ([part, path]: [string, string]) => {
    const file = join(dirname(manifest), exports[path].import.default);
    return [part, await import(pathToFileURL(file).href)] as const;
  };
  return Object.fromEntries(await Promise.all(Object.entries(PARTS).map(imported))) as unknown as Library;
}
