import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";
import { pythonStorage } from "./python-storage.ts";
import { formatOf, StorageReader } from "./storage-files.ts";
import type { IndexInFile, StorageFiles, Stored } from "./stored.ts";
import { typescriptStorage } from "./typescript-storage.ts";

/**
 * The vector index in a storage folder, whichever LlamaIndex wrote it. Its vectors are taken as they are: nothing is
 * embedded.
 * @throws CapstanError LOAD_FAILED naming the file at fault.
 */
export async function readStorage(model: ModelSpec, folder: string, indexId?: string): Promise<Stored> {
  const format = formatOf(folder);
  if (format === undefined) throw failed(model, `${folder} holds no storage of LlamaIndex`);
  const reader = new StorageReader(model, folder, format);
  const files = await (format === "python" ? pythonStorage(reader) : typescriptStorage(reader));
  const index = chosen(model, files, reader.name("index"), indexId);
  return taken(model, files, index);
}

function chosen(model: ModelSpec, files: StorageFiles, file: string, indexId?: string): IndexInFile {
  const found = files.indexes.filter(({ kind }) => kind === files.vectorKind);
  if (found.length === 0) {
    const kinds = files.indexes.map(({ kind }) => kind).join(", ") || "none";
    throw failed(
      model,
      `${file} has no vector index (it has: ${kinds}), and only those are served; what code reads itself belongs in another folder`,
    );
  }
  const ids = found.map(({ id }) => id).join(", ");
  if (indexId === undefined) {
    if (found.length === 1) return found[0]!;
    throw failed(model, `${file} has several indexes: set index_id to one of ${ids}`);
  }
  const named = found.find(({ id }) => id === indexId);
  if (named === undefined) throw failed(model, `${file} has no index '${indexId}'; it has ${ids}`);
  return named;
}

/** The nodes of one index with their vectors; what other indexes left in the files is not used. */
function taken(model: ModelSpec, files: StorageFiles, { id: indexId, nodeIds }: IndexInFile): Stored {
  const { vectorFile } = files;
  const first = files.vectors[nodeIds[0] ?? ""];
  if (first === undefined) throw failed(model, `${vectorFile} has no vectors of index '${indexId}'`);
  const dimension = first.length;
  const vectors = nodeIds.map((id) => [id, vectorOf(model, files, id, dimension)] as const);
  const nodes = nodeIds.map((id) => {
    const node = files.nodes.get(id);
    if (node === undefined) throw failed(model, `the text of node '${id}' is not in the storage`);
    return { ...node, id };
  });
  const { filterable, documentIds } = files;
  return { indexId, nodes, vectors: Object.fromEntries(vectors), dimension, filterable, documentIds };
}

function vectorOf(model: ModelSpec, files: StorageFiles, id: string, dimension: number): number[] {
  const vector = files.vectors[id];
  if (vector === undefined) throw failed(model, `${files.vectorFile} has no vector of node '${id}'`);
  if (vector.length !== dimension || dimension === 0) {
    const lengths = `has ${vector.length} numbers, and that of the first ${dimension}`;
    throw failed(model, `${files.vectorFile}: the vector of node '${id}' ${lengths}`);
  }
  if (!vector.every(Number.isFinite)) {
    throw failed(model, `${files.vectorFile}: the vector of node '${id}' has something that is not a number`);
  }
  return vector as number[];
}
