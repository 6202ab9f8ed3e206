import { globSync, readFileSync } from "node:fs";
import path from "node:path";

export const ROOT = path.resolve(import.meta.dirname, "../..");

export const PLUGIN_FOLDERS = ["runtimes", "adapters", "resolvers", "memory"];

export interface Import {
  /** As written: relative, a package, or `node:`. */
  readonly specifier: string;
  /** For a relative import: the file it names, from the root of the project. */
  readonly file?: string;
  /** `import type` or `export type`: gone at run time. */
  readonly typeOnly: boolean;
}

export interface SourceFile {
  /** From the root of the project. */
  readonly file: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

/** `import ... from`, `export ... from` and `import "..."`; formatted code has them at the start of a line. */
const STATIC =
  /^(?:import|export)\b(?<type> type\b)?(?:[^;"'`]*?\bfrom\b)?\s*["'](?<specifier>[^"'\n]+)["']/gm;
/** `import("...")`, also inside a type. */
const DYNAMIC = /^(?!\s*[*/]).*?\bimport\(\s*["'](?<specifier>[^"'\n]+)["']/gm;

function importsOf(file: string, text: string): Import[] {
  return [...text.matchAll(STATIC), ...text.matchAll(DYNAMIC)].map(({ groups }) => {
    const specifier = groups?.specifier ?? "";
    const typeOnly = groups?.type !== undefined;
    if (!specifier.startsWith(".")) return { specifier, typeOnly };
    return { specifier, typeOnly, file: path.posix.join(path.posix.dirname(file), specifier) };
  });
}

const isGenerated = (file: string) => file.includes("/generated/");

/** The TypeScript files in `folders` that people write, with what they import. */
export function sourceFiles(folders: readonly string[]): SourceFile[] {
  const files = folders.flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: ROOT }));
  return files
    .filter((file) => !isGenerated(file))
    .map((file) => {
      const text = readFileSync(path.join(ROOT, file), "utf8");
      return { file, text, imports: importsOf(file, text) };
    });
}
