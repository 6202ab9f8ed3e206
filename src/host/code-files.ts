import { glob, readFile, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";

/** What decides how a model's code runs, besides its package.json. */
const CODE_FILES = "**/{tsconfig*.json,*.{ts,tsx,mts,cts,js,jsx,mjs,cjs}}";
/** Where an import may lie that leaves out its ending, or writes `.js` for `.ts`. */
const ENDINGS = [
  ...["", ".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json"],
  ...["/index.ts", "/index.tsx", "/index.js"],
];
const SPECIFIER = /\b(?:from|import|require)\s*\(?\s*["'](\.\.?\/[^"'\n]+)["']/g;

/**
 * Absolute paths of the code in a model's folder, and of the files outside of it that this code imports by a relative
 * path: a model is loaded anew when one of them changes.
 */
export async function codeFiles(folder: string): Promise<string[]> {
  const inside = await Array.fromAsync(glob(CODE_FILES, { cwd: folder, exclude: isIgnored }));
  const found = new Set(inside.map((file) => join(folder, file)));
  for (const file of found) {
    for (const imported of await importsOf(file)) if (isOutside(imported, folder)) found.add(imported);
  }
  return [...found];
}

const isIgnored = (path: string) =>
  path.split(sep).some((part) => part.startsWith(".") || part === "node_modules");

const isOutside = (file: string, folder: string) => relative(folder, file).startsWith(`..${sep}`);

interface Imports {
  readonly revision: string;
  readonly files: readonly string[];
}

/** Every scan asks for them, and few files change between two. */
const known = new Map<string, Imports>();

async function importsOf(file: string): Promise<readonly string[]> {
  const found = await stat(file, { bigint: true }).catch(() => undefined);
  if (!found?.isFile() || file.endsWith(".json")) return [];
  const revision = `${found.size} ${found.mtimeNs} ${found.ino}`;
  const before = known.get(file);
  if (before?.revision === revision) return before.files;
  const text = await readFile(file, "utf8").catch(() => "");
  const specifiers = [...text.matchAll(SPECIFIER)].map(([, specifier]) => specifier!);
  const paths = await Promise.all(specifiers.map((specifier) => target(resolve(dirname(file), specifier))));
  const files = paths.filter((path) => path !== undefined);
  known.set(file, { revision, files });
  return files;
}

async function target(path: string): Promise<string | undefined> {
  const stem = path.replace(/\.[cm]?js$/, "");
  for (const candidate of [path, ...ENDINGS.map((ending) => stem + ending)]) {
    const found = await stat(candidate).catch(() => undefined);
    if (found?.isFile()) return candidate;
  }
  return undefined;
}
