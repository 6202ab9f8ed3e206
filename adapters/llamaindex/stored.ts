/** A relation of a node to another, by LlamaIndex's name of it, such as `SOURCE`. */
export interface StoredRelation {
  readonly nodeId: string;
  readonly hash?: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface StoredNode {
  readonly id: string;
  readonly text: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly relations: Readonly<Record<string, StoredRelation | readonly StoredRelation[]>>;
  readonly hash?: string;
  /** Metadata that is not put before the text in a prompt. */
  readonly excludedFromPrompt: readonly string[];
}

/** A vector index as both LlamaIndexes keep it, whichever wrote the files. */
export interface Stored {
  readonly indexId: string;
  readonly nodes: readonly StoredNode[];
  /** By node id: one for each node, all of {@link dimension} numbers. */
  readonly vectors: Readonly<Record<string, number[]>>;
  readonly dimension: number;
  /** What filters look at, by node id. */
  readonly filterable: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly documentIds: Readonly<Record<string, string>>;
}

/** One index of a storage folder, as its files have it. */
export interface IndexInFile {
  readonly id: string;
  /** As its library calls it. */
  readonly kind: string;
  /** Vector ids. */
  readonly nodeIds: readonly string[];
}

/** What the files of a storage folder hold. */
export interface StorageFiles {
  readonly indexes: readonly IndexInFile[];
  readonly vectorKind: string;
  readonly nodes: ReadonlyMap<string, StoredNode>;
  readonly vectors: Readonly<Record<string, readonly unknown[]>>;
  readonly filterable: Stored["filterable"];
  readonly documentIds: Stored["documentIds"];
  /** Where the vectors are. */
  readonly vectorFile: string;
}
