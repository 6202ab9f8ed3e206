import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";

/** Files as LlamaIndex for TypeScript and for Python name them. */
const TYPESCRIPT = { docs: "doc_store.json", index: "index_store.json", vectors: "vector_store.json" };
const PYTHON = { docs: "docstore.json", index: "index_store.json", vectors: "default__vector_store.json" };

export type StorageFormat = "typescript" | "python";

/** Undefined where a folder holds no storage at all. */
export function formatOf(folder: string): StorageFormat | undefined {
  const has = (name: string) => existsSync(join(folder, name));
  if (has(PYTHON.docs) || has(PYTHON.vectors)) return "python";
  return [TYPESCRIPT.docs, TYPESCRIPT.vectors, TYPESCRIPT.index].some(has) ? "typescript" : undefined;
}

/** Reads the three files of one storage folder. */
export class StorageReader {
  readonly #model: ModelSpec;
  readonly #folder: string;
  readonly #names: typeof TYPESCRIPT;

  constructor(model: ModelSpec, folder: string, format: StorageFormat) {
    this.#model = model;
    this.#folder = folder;
    this.#names = format === "python" ? PYTHON : TYPESCRIPT;
  }

  name(file: keyof typeof TYPESCRIPT): string {
    return `${basename(this.#folder)}/${this.#names[file]}`;
  }

  /** @throws CapstanError LOAD_FAILED naming the file, and the place in it. */
  async read<S extends z.ZodType>(file: keyof typeof TYPESCRIPT, schema: S): Promise<z.output<S>> {
    return this.check(file, schema, await this.#json(file));
  }

  /** For what is JSON inside of JSON. */
  parse<S extends z.ZodType>(file: keyof typeof TYPESCRIPT, schema: S, text: string): z.output<S> {
    try {
      return this.check(file, schema, JSON.parse(text));
    } catch (cause) {
      throw cause instanceof SyntaxError
        ? this.fault(file, `is not JSON inside: ${cause.message}`, cause)
        : cause;
    }
  }

  check<S extends z.ZodType>(file: keyof typeof TYPESCRIPT, schema: S, value: unknown): z.output<S> {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0]!;
    const where = issue.path.length === 0 ? "" : ` at ${issue.path.join(".")}`;
    throw this.fault(file, `is not what LlamaIndex writes${where}: ${issue.message}`);
  }

  fault(file: keyof typeof TYPESCRIPT, what: string, cause?: unknown) {
    return failed(this.#model, `${this.name(file)} ${what}`, cause);
  }

  async #json(file: keyof typeof TYPESCRIPT): Promise<unknown> {
    const path = join(this.#folder, this.#names[file]);
    try {
      return JSON.parse(await readFile(path, "utf8"));
    } catch (cause) {
      const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
      const what = missing
        ? "is missing: LlamaIndex writes it with the others when it persists an index"
        : `cannot be read: ${(cause as Error).message}`;
      throw this.fault(file, what, cause);
    }
  }
}

export const metadata = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((value) => value ?? {});
const texts = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});
const lists = z.record(z.string(), z.array(z.unknown()));
const records = z
  .record(z.string(), metadata)
  .nullish()
  .transform((value) => value ?? {});

/** The vectors, under the names of either library. */
export const vectorFile = z
  .object({
    embeddingDict: lists.optional(),
    embedding_dict: lists.optional(),
    textIdToRefDocId: texts,
    text_id_to_ref_doc_id: texts,
    metadataDict: records,
    metadata_dict: records,
  })
  .transform((file, context) => {
    const vectors = file.embeddingDict ?? file.embedding_dict;
    if (vectors === undefined) context.addIssue({ code: "custom", message: "it has no embeddingDict" });
    return {
      vectors: vectors ?? {},
      documentIds: { ...file.textIdToRefDocId, ...file.text_id_to_ref_doc_id },
      filterable: { ...file.metadataDict, ...file.metadata_dict },
    };
  });
