/**
 * Puts texts/ into storage/, with the vectors of the model `embedder` of a running server:
 *
 *     npm start
 *     node model-settings/docs/build.ts [address of the server] [folder to write]
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  BaseEmbedding,
  IndexDict,
  Settings,
  SimpleDocumentStore,
  SimpleIndexStore,
  SimpleVectorStore,
  TextNode,
  VectorStoreIndex,
} from "llamaindex";

const [server = "http://127.0.0.1:8080", folder = join(import.meta.dirname, "storage")] =
  process.argv.slice(2);
const texts = join(import.meta.dirname, "texts");

/** Seven digits are what a 32-bit number has. */
const rounded = (value: number) => Number(value.toPrecision(7));

class ServedEmbedding extends BaseEmbedding {
  // biome-ignore lint/complexity/noUselessConstructor: the library's own is protected
  constructor() {
    super();
  }

  async getTextEmbedding(input: string): Promise<number[]> {
    const response = await fetch(`${server}/v1/embeddings`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "embedder", input, encoding_format: "float" }),
    });
    if (!response.ok) throw new Error(await response.text());
    const { data } = (await response.json()) as { data: { embedding: number[] }[] };
    return data[0]!.embedding.map(rounded);
  }
}

async function nodeOf(file: string): Promise<TextNode> {
  const text = (await readFile(join(texts, file), "utf8")).trim();
  return new TextNode({
    id_: file,
    text,
    metadata: { file_name: file },
    excludedLlmMetadataKeys: ["file_name"],
  });
}

const files = (await readdir(texts)).sort();
const nodes = await Promise.all(files.map(nodeOf));
Settings.embedModel = new ServedEmbedding();
const docStore = new SimpleDocumentStore();
const indexStore = new SimpleIndexStore();
const vectorStore = new SimpleVectorStore();
await VectorStoreIndex.init({
  nodes,
  indexStruct: new IndexDict("d0c5d0c5-0000-4000-8000-000000000000"),
  storageContext: { docStore, indexStore, vectorStores: { TEXT: vectorStore } },
});
const stores = {
  "doc_store.json": docStore.toDict(),
  "index_store.json": indexStore.toDict(),
  "vector_store.json": vectorStore.toDict(),
};
for (const [name, content] of Object.entries(stores)) {
  await writeFile(join(folder, name), `${JSON.stringify(content)}\n`);
}
console.log(`${nodes.length} texts in ${folder}`);
