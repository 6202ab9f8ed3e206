import { z } from "zod";
import { metadata, type StorageReader, vectorFile } from "./storage-files.ts";
import type { StorageFiles, StoredNode } from "./stored.ts";

/** Python's `NodeRelationship`; TypeScript has the same by name. */
const RELATIONS: Readonly<Record<string, string>> = {
  1: "SOURCE",
  2: "PREVIOUS",
  3: "NEXT",
  4: "PARENT",
  5: "CHILD",
};

const relation = z
  .object({ node_id: z.string(), hash: z.string().nullish(), metadata })
  .transform(({ node_id: nodeId, hash, metadata }) => ({ nodeId, hash: hash ?? undefined, metadata }));

const node = z
  .object({
    id_: z.string(),
    text: z.string().nullish(),
    /** Where newer versions keep the text of a document. */
    text_resource: z.object({ text: z.string().nullish() }).nullish(),
    metadata,
    relationships: z.record(z.string(), z.union([relation, z.array(relation)])).default({}),
    excluded_llm_metadata_keys: z.array(z.string()).default([]),
  })
  .transform((node): StoredNode => {
    const relations = Object.entries(node.relationships).map(([key, to]) => [RELATIONS[key] ?? key, to]);
    return {
      id: node.id_,
      text: node.text ?? node.text_resource?.text ?? "",
      metadata: node.metadata,
      relations: Object.fromEntries(relations),
      excludedFromPrompt: node.excluded_llm_metadata_keys,
    };
  });

const indexFile = z.object({
  "index_store/data": z.record(
    z.string(),
    z.object({ __type__: z.string(), __data__: z.union([z.string(), z.looseObject({})]) }),
  ),
});
const struct = z.looseObject({
  index_id: z.string(),
  nodes_dict: z.record(z.string(), z.string()).default({}),
});

const docFile = z.object({
  "docstore/data": z.record(z.string(), z.object({ __data__: node })).default({}),
});

/** Storage that LlamaIndex for Python wrote: its index holds the ids of nodes, and the document store the nodes. */
export async function pythonStorage(reader: StorageReader): Promise<StorageFiles> {
  const { "index_store/data": structs } = await reader.read("index", indexFile);
  const { "docstore/data": docs } = await reader.read("docs", docFile);
  const vectors = await reader.read("vectors", vectorFile);
  const indexes = Object.values(structs).map(({ __type__: kind, __data__: data }) => {
    if (kind !== "vector_store") return { id: "", kind, nodes: {} };
    const read =
      typeof data === "string" ? reader.parse("index", struct, data) : reader.check("index", struct, data);
    return { id: read.index_id, kind, nodes: read.nodes_dict };
  });
  const documents = new Map(Object.entries(docs).map(([id, { __data__ }]) => [id, __data__]));
  const byVector = indexes
    .flatMap(({ nodes }) => Object.entries(nodes))
    .flatMap(([vectorId, nodeId]) => {
      const found = documents.get(nodeId);
      return found === undefined ? [] : [[vectorId, found] as const];
    });
  return {
    indexes: indexes.map(({ id, kind, nodes }) => ({ id, kind, nodeIds: Object.keys(nodes) })),
    vectorKind: "vector_store",
    nodes: new Map(byVector),
    ...vectors,
    vectorFile: reader.name("vectors"),
  };
}
