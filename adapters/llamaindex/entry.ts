import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";
import { formatOf } from "./storage-files.ts";

/** Where an application's parts are. At least one is there. */
export interface Entry {
  /** The module that exports it. */
  readonly code?: string;
  /** A folder that LlamaIndex persisted an index in. */
  readonly storage?: string;
}

const STEMS = ["model", "index"];
const ENDINGS = [".ts", ".mts", ".js", ".mjs"];
const MODULES = STEMS.flatMap((stem) => ENDINGS.map((ending) => stem + ending));
const PYTHON = STEMS.map((stem) => `${stem}.py`);

/**
 * The module and the storage that `parameters.uri`, or else the model's folder, holds.
 * @throws CapstanError LOAD_FAILED when there is neither, or the application is Python's.
 */
export async function findEntry(model: ModelSpec): Promise<Entry> {
  const path = model.artifact ?? model.folder;
  const info = await stat(path).catch((cause: Error) => {
    throw failed(model, `cannot read ${path}: ${cause.message}`, cause);
  });
  if (info.isFile()) return entryFile(model, path);
  if (formatOf(path) !== undefined) return { storage: path };
  const names = await readdir(path);
  const module = MODULES.find((name) => names.includes(name));
  const storage = names.includes("storage") ? join(path, "storage") : undefined;
  if (module !== undefined) return withStorage(join(path, module));
  refusePython(model, names, storage);
  if (storage === undefined) throw failed(model, nothing(path));
  return { storage };
}

function entryFile(model: ModelSpec, file: string): Entry {
  refusePython(model, [basename(file)], undefined);
  if (!/\.[cm]?[jt]s$/.test(file)) {
    throw failed(model, `${file} is neither a module nor a folder: point parameters.uri at one of them`);
  }
  return withStorage(file);
}

/** A script beside a storage may well be what made it; one that has an entry's name is meant to be served. */
function refusePython(model: ModelSpec, names: readonly string[], storage: string | undefined): void {
  const python = names.filter((name) => name.endsWith(".py"));
  const entry =
    python.find((name) => PYTHON.includes(name)) ?? (storage === undefined ? python[0] : undefined);
  if (entry === undefined) return;
  const advice =
    "serve the storage/ that Python persisted by itself, rewrite the module in TypeScript, or serve it from " +
    "a Python server with the 'remote' runtime";
  throw failed(model, `${entry} is Python, which this server does not run: ${advice}`);
}

/** A storage/ beside code may be of another library, and the code's own business. */
function withStorage(code: string): Entry {
  const storage = join(dirname(code), "storage");
  return formatOf(storage) === undefined ? { code } : { code, storage };
}

function nothing(path: string): string {
  return `there is no application in ${path}: it needs ${MODULES.join(", ")}, or a folder storage/ of LlamaIndex`;
}
