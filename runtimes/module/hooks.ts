import { existsSync, readFileSync, statSync } from "node:fs";
import {
  type LoadHookSync,
  type ResolveFnOutput,
  type ResolveHookContext,
  type ResolveHookSync,
  registerHooks,
  type SourceMap,
} from "node:module";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { transpile } from "./transpile.ts";

/**
 * A user's file is imported under its own address with the generation as its query, so that each generation
 * has its own instance of it while `import.meta.url` still points beside the model.
 */
const MARK = "capstan-generation";
const GENERATION = new RegExp(`[?&]${MARK}=(\\d+)`);

const EXTENSION = extname(new URL(import.meta.url).pathname);
const OWN_MODULES: Readonly<Record<string, string>> = {
  capstan: new URL(`../../src/contracts/index${EXTENSION}`, import.meta.url).href,
  "capstan/testing": new URL(`../../src/testing/index${EXTENSION}`, import.meta.url).href,
};

/** Tried in this order where an import names no file: extensionless, a folder, and `.js` written for `.ts`. */
const ENDINGS = [".ts", ".mts", ".js", ".mjs", ".cjs", ".json", "/index.ts", "/index.js"];

interface Generation {
  /** The file read last: where a syntax error is that does not say so itself. */
  last?: string;
  /** By address: only files whose lines have moved. */
  readonly maps: Map<string, SourceMap>;
}

const generations = new Map<number, Generation>();
let latest = 0;
let installed = false;

export function newGeneration(): number {
  latest += 1;
  generations.set(latest, { maps: new Map() });
  return latest;
}

export function forgetGeneration(number: number): void {
  generations.delete(number);
}

export function lastFileOf(number: number): string | undefined {
  return generations.get(number)?.last;
}

/** The line of the user's file that a line of what runs came from; columns and lines count from 1. */
export function originalLine(url: string, line: number, column: number): number {
  const map = generations.get(generationOf(url) ?? 0)?.maps.get(url);
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

/** Installed with the first model of this kind, and for the life of the process. */
export function installHooks(): void {
  if (installed) return;
  installed = true;
  registerHooks({ resolve, load });
}

const resolve: ResolveHookSync = (specifier, context, next) => {
  const own = Object.hasOwn(OWN_MODULES, specifier) ? OWN_MODULES[specifier] : undefined;
  if (own !== undefined) return next(own, context);
  const generation = generationOf(context.parentURL);
  if (generation === undefined || GENERATION.test(specifier)) return next(specifier, context);
  if (!/^(\.|\/|#|file:)/.test(specifier)) return fromModelOrServer(specifier, context, next);
  const found = withGuess(specifier, context, next);
  const isUsers = found.url.startsWith("file:") && !found.url.includes("/node_modules/");
  return isUsers ? { ...found, url: userUrl(found.url, generation) } : found;
};

type NextResolve = Parameters<ResolveHookSync>[2];

/** A package of the model's folder, else one that the server has. */
function fromModelOrServer(
  specifier: string,
  context: ResolveHookContext,
  next: NextResolve,
): ResolveFnOutput {
  try {
    return next(specifier, context);
  } catch (missing) {
    if (!isNotFound(missing)) throw missing;
    try {
      return next(specifier, { ...context, parentURL: import.meta.url });
    } catch {
      throw missing;
    }
  }
}

function withGuess(specifier: string, context: ResolveHookContext, next: NextResolve): ResolveFnOutput {
  try {
    return next(specifier, context);
  } catch (missing) {
    const guess =
      isNotFound(missing) && /^(\.|\/|file:)/.test(specifier)
        ? guessFile(specifier, context.parentURL!)
        : undefined;
    if (guess === undefined) throw missing;
    return next(guess, context);
  }
}

function guessFile(specifier: string, parent: string): string | undefined {
  const wanted = new URL(specifier, parent).href;
  const stem = wanted.replace(/\.(m?)js$/, "");
  const bases = stem === wanted ? [wanted.replace(/\/$/, "")] : [stem];
  return bases.flatMap((base) => ENDINGS.map((ending) => base + ending)).find(isFile);
}

function isFile(url: string): boolean {
  const path = fileURLToPath(url);
  return existsSync(path) && statSync(path).isFile();
}

const NOT_FOUND = ["ERR_MODULE_NOT_FOUND", "ERR_UNSUPPORTED_DIR_IMPORT", "MODULE_NOT_FOUND"];

function isNotFound(error: unknown): boolean {
  return NOT_FOUND.includes((error as NodeJS.ErrnoException).code ?? "");
}

const load: LoadHookSync = (url, context, next) => {
  const generation = generations.get(generationOf(url) ?? 0);
  if (generation === undefined || !url.startsWith("file:")) return next(url, context);
  const path = fileURLToPath(url);
  generation.last = path;
  if (!/\.m?ts$/.test(path)) return next(url, context);
  const { code, map } = transpile(readFileSync(path, "utf8"), path);
  if (map !== undefined) generation.maps.set(url, map);
  return { format: "module", source: code, shortCircuit: true };
};
