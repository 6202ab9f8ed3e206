import { statSync } from "node:fs";
import type { SourceMap } from "node:module";

/**
 * A user's file is imported under its own address with the generation as its query, so that each generation
 * has its own instance of it while `import.meta.url` still points beside the model.
 */
const MARK = "capstan-generation";
const GENERATION = new RegExp(`[?&]${MARK}=(\\d+)`);

/** What is known of one import of a user's code, until it is disposed. */
export interface CodeGeneration {
  /** The model's: files are named from there. */
  readonly folder: string;
  /** The file read last: where a syntax error is that does not say so itself. */
  last?: string;
  /** The files that were read, as they were. */
  readonly files: Map<string, string>;
  /** By address: only files that were rewritten. */
  readonly maps: Map<string, SourceMap>;
}

const generations = new Map<number, CodeGeneration>();
let latest = 0;

export function newGeneration(folder: string): number {
  latest += 1;
  generations.set(latest, { folder, files: new Map(), maps: new Map() });
  return latest;
}

export function codeGeneration(number: number | undefined): CodeGeneration | undefined {
  return number === undefined ? undefined : generations.get(number);
}

export function forgetGeneration(number: number): void {
  generations.delete(number);
}

/** Another one for each change of a file. */
export function revisionOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? "gone" : `${found.size} ${found.mtimeNs} ${found.ino}`;
}

export function lastFileOf(number: number): string | undefined {
  return generations.get(number)?.last;
}

/** The line of the user's file that a line of what runs came from; columns and lines count from 1. */
export function originalLine(url: string, line: number, column: number): number {
  const map = codeGeneration(generationOf(url))?.maps.get(url);
  const origin = map?.findOrigin(line, column);
  return origin !== undefined && "lineNumber" in origin ? origin.lineNumber : line;
}

export function userUrl(url: string, generation: number): string {
  return `${url}${url.includes("?") ? "&" : "?"}${MARK}=${generation}`;
}

export function generationOf(url: string | undefined): number | undefined {
  const found = url === undefined ? undefined : GENERATION.exec(url)?.[1];
  return found === undefined ? undefined : Number(found);
}
