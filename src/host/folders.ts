import type { Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";

export interface Folder {
  readonly path: string;
  /** Names of the files in it, and of the folders in it, each sorted. */
  readonly files: readonly string[];
  readonly folders: readonly string[];
}

interface Walk {
  /** Entries of real folders that were entered: links may lead to one by many ways. */
  readonly entered: Set<string>;
}

/**
 * A folder and the folders below it, parents first and in order of name. Links are followed, except to a
 * folder above; dot-folders and node_modules are left out, and so is what cannot be read.
 */
export function foldersBelow(root: string): AsyncGenerator<Folder> {
  return descend(root, new Set(), { entered: new Set() });
}

async function* descend(path: string, above: ReadonlySet<string>, walk: Walk): AsyncGenerator<Folder> {
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined || above.has(real)) return;
  const entries = await readdir(path, { withFileTypes: true }).catch((): Dirent[] => []);
  const { files, folders } = await sorted(path, entries);
  yield { path, files, folders };
  const inside = new Set([...above, real]);
  for (const name of folders) {
    const entry = join(real, name);
    if (walk.entered.has(entry)) continue;
    walk.entered.add(entry);
    yield* descend(join(path, name), inside, walk);
  }
}

const isIgnored = (name: string) => name.startsWith(".") || name === "node_modules";

async function sorted(path: string, entries: readonly Dirent[]) {
  const files: string[] = [];
  const folders: string[] = [];
  for (const entry of entries) {
    if (isIgnored(entry.name)) continue;
    const kind = entry.isSymbolicLink() ? await stat(join(path, entry.name)).catch(() => undefined) : entry;
    if (kind?.isDirectory()) folders.push(entry.name);
    else if (kind?.isFile()) files.push(entry.name);
  }
  return { files: files.sort(), folders: folders.sort() };
}
