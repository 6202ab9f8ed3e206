import { readFile } from "node:fs/promises";
import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type {
  BaseEmbedding,
  ChatResponse,
  ChatResponseChunk,
  LLMChatParamsBase,
  LLMChatParamsNonStreaming,
  LLMChatParamsStreaming,
  StorageContext,
  ToolCallLLM,
  UUID,
  VectorStoreIndex,
} from "llamaindex";
import { foldParts, type ModelSpec, type Part } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";
import { chunkOf, responseOf } from "./messages.ts";
import type { Stored, StoredNode } from "./stored.ts";

/** The one file that uses LlamaIndex itself; the others know its types at most. */
export type Library = typeof import("llamaindex");

const NAME = "llamaindex";

/**
 * LlamaIndex, an optional peer: the copy that the model's own code imports, else the server's.
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
    throw failed(model, `framework 'llamaindex' needs a package that is not installed: npm install ${NAME}`);
  }
  try {
    return await quietly(async () => import(pathToFileURL(await entryOf(manifest)).href));
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

/** What `import` takes: the user's code must get the same copy, since LlamaIndex compares classes. */
async function entryOf(manifest: string): Promise<string> {
  const { exports, main } = JSON.parse(await readFile(manifest, "utf8"));
  const entry = exports?.["."]?.import;
  return join(dirname(manifest), entry?.default ?? entry ?? main ?? "index.js");
}

const IMPORTED = "__ $@llamaindex/env$ __";

/**
 * npm installs one version of `@llamaindex/env` in two places, and each copy complains on stderr about the other.
 * They only wrap Node's modules.
 */
async function quietly<T>(load: () => Promise<T>): Promise<T> {
  Object.defineProperty(globalThis, IMPORTED, { configurable: true, get: () => undefined, set() {} });
  try {
    return await load();
  } finally {
    Object.defineProperty(globalThis, IMPORTED, { configurable: true, writable: true, value: true });
  }
}

export interface LanguageModelParts {
  readonly name: string;
  readonly contextWindow: number;
  readonly chat: (params: LLMChatParamsBase) => AsyncIterable<Part>;
}

/** A language model of the server as LlamaIndex wants one. */
export function languageModel(
  library: Library,
  { name, contextWindow, chat }: LanguageModelParts,
): ToolCallLLM {
  class CapstanLLM extends library.ToolCallLLM {
    readonly supportToolCall = true;
    readonly metadata = {
      model: name,
      temperature: 1,
      topP: 1,
      contextWindow,
      tokenizer: undefined,
      structuredOutput: false,
    };
    override chat(params: LLMChatParamsStreaming): Promise<AsyncIterable<ChatResponseChunk>>;
    override chat(params: LLMChatParamsNonStreaming): Promise<ChatResponse>;
    override async chat(params: LLMChatParamsStreaming | LLMChatParamsNonStreaming): Promise<never> {
      const parts = chat(params);
      return (params.stream ? chunksOf(parts) : responseOf(await foldParts(parts))) as never;
    }
  }
  return new CapstanLLM();
}

async function* chunksOf(parts: AsyncIterable<Part>): AsyncGenerator<ChatResponseChunk> {
  for await (const part of parts) {
    const chunk = chunkOf(part);
    if (chunk !== undefined) yield chunk;
  }
}

const BATCH = 64;

/** An embedding model of the server as LlamaIndex wants one. */
export function embeddingModel(
  library: Library,
  embed: (texts: readonly string[]) => Promise<number[][]>,
): BaseEmbedding {
  class CapstanEmbedding extends library.BaseEmbedding {
    // biome-ignore lint/complexity/noUselessConstructor: the library's own is protected
    constructor() {
      super();
    }
    override embedBatchSize = BATCH;
    override getTextEmbeddings = embed;
    override async getTextEmbedding(text: string): Promise<number[]> {
      const [vector] = await embed([text]);
      return vector!;
    }
  }
  return new CapstanEmbedding();
}

/** The stores that a stored index is used through; they live in memory and write nothing back. */
export async function storageContext(
  library: Library,
  stored: Stored,
  embedModel: BaseEmbedding,
): Promise<StorageContext> {
  const docStore = new library.SimpleDocumentStore();
  const indexStore = new library.SimpleIndexStore();
  const nodes = stored.nodes.map((node) => textNode(library, node));
  await docStore.addDocuments(nodes, true);
  const struct = new library.IndexDict(stored.indexId as UUID);
  for (const node of nodes) struct.addNode(node);
  await indexStore.addIndexStruct(struct);
  const { vectors: embeddingDict, documentIds, filterable } = stored;
  const data = { embeddingDict, textIdToRefDocId: { ...documentIds }, metadataDict: { ...filterable } };
  const vectorStore = library.SimpleVectorStore.fromDict(data as never, embedModel);
  return { docStore, indexStore, vectorStores: { [library.ModalityType.TEXT]: vectorStore } };
}

function textNode(library: Library, { id, text, metadata, relations, hash, excludedFromPrompt }: StoredNode) {
  return new library.TextNode({
    id_: id,
    text,
    metadata: { ...metadata },
    relationships: { ...relations } as never,
    excludedLlmMetadataKeys: [...excludedFromPrompt],
    ...(hash === undefined ? {} : { hash }),
  });
}

/** The index in a storage. Nothing is embedded for it. */
export function vectorIndex(library: Library, storage: StorageContext): Promise<VectorStoreIndex> {
  return library.VectorStoreIndex.init({ storageContext: storage });
}

/** Runs work with models of its own in place of LlamaIndex's global settings, which stay as they are. */
export function withModels<T>(library: Library, llm: ToolCallLLM, embed: BaseEmbedding, work: () => T): T {
  const { Settings } = library;
  return Settings.withLLM(llm, () => Settings.withEmbedModel(embed, work));
}
