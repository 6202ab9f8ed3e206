import { z } from "zod";
import { metadata, type StorageReader, vectorFile } from "./storage-files.ts";
import type { StorageFiles, StoredNode } from "./stored.ts";

const relation = z.object({ nodeId: z.string(), hash: z.string().optional(), metadata });

const node = z
  .object({
    id_: z.string(),
    text: z.string().default(""),
    metadata,
    relationships: z.record(z.string(), z.union([relation, z.array(relation)])).default({}),
    hash: z.string().optional(),
    excludedLlmMetadataKeys: z.array(z.string()).default([]),
  })
  .transform(
    ({
      id_: id,
      relationships: relations,
      excludedLlmMetadataKeys: excludedFromPrompt,
      ...rest
    }): StoredNode => {
      return { id, relations, excludedFromPrompt, ...rest };
    },
  );

const indexFile = z.object({
  "docstore/data": z.record(
    z.string(),
    z.looseObject({
      indexId: z.string(),
      type: z.string(),
      nodesDict: z.record(z.string(), node).optional(),
    }),
  ),
});

const docFile = z.object({
  "docstore/data": z
    .record(z.string(), z.object({ __data__: z.union([z.string(), z.looseObject({})]) }))
    .default({}),
});

/** Storage that LlamaIndex for TypeScript wrote: an index holds its nodes, and the document store again. */
export async function typescriptStorage(reader: StorageReader): Promise<StorageFiles> {
  const { "docstore/data": structs } = await reader.read("index", indexFile);
  const { "docstore/data": docs } = await reader.read("docs", docFile);
  const vectors = await reader.read("vectors", vectorFile);
  const documents = Object.entries(docs).map(([id, { __data__: data }]) => {
    const parsed =
      typeof data === "string" ? reader.parse("docs", node, data) : reader.check("docs", node, data);
    return [id, parsed] as const;
  });
  const indexed = Object.values(structs).flatMap(({ nodesDict = {} }) => Object.entries(nodesDict));
  return {
    indexes: Object.values(structs).map(({ indexId: id, type: kind, nodesDict = {} }) => {
      return { id, kind, nodeIds: Object.keys(nodesDict) };
    }),
    vectorKind: "simple_dict",
    nodes: new Map([...documents, ...indexed]),
    ...vectors,
    vectorFile: reader.name("vectors"),
  };
}
