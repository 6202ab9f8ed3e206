import { existsSync, readFileSync, statSync } from "node:fs";
import {
  type LoadHookSync,
  type ResolveFnOutput,
  type ResolveHookContext,
  type ResolveHookSync,
  registerHooks,
} from "node:module";
import { dirname, extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type CodeGeneration, codeGeneration, generationOf, revisionOf, userUrl } from "./generations.ts";
import { formatOf, transpile } from "./transpile.ts";
import { nearestConfig } from "./tsconfig.ts";

const EXTENSION = extname(new URL(import.meta.url).pathname);
const OWN_MODULES: Readonly<Record<string, string>> = {
  capstan: new URL(`../../contracts/index${EXTENSION}`, import.meta.url).href,
  "capstan/testing": new URL(`../../testing/index${EXTENSION}`, import.meta.url).href,
};

/** Tried in this order where an import names no file: extensionless, a folder, and `.js` written for `.ts`. */
const ENDINGS = [
  ...[".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json"],
  ...["/index.ts", "/index.tsx", "/index.js"],
];

let installed = false;

/** Installed with the first user code, and for the life of the thread. */
export function installHooks(): void {
  if (installed) return;
  installed = true;
  registerHooks({ resolve, load });
}

const resolve: ResolveHookSync = (specifier, context, next) => {
  const own = Object.hasOwn(OWN_MODULES, specifier) ? OWN_MODULES[specifier] : undefined;
  if (own !== undefined) return next(own, context);
  const generation = generationOf(context.parentURL);
  if (generation === undefined || generationOf(specifier) !== undefined) return next(specifier, context);
  const alias = aliasedFile(specifier, context.parentURL!, generation);
  if (alias === undefined && !/^(\.|\/|#|file:)/.test(specifier))
    return fromModelOrServer(specifier, context, next);
  const found = withGuess(alias ?? specifier, context, next);
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

/** What `paths` of a tsconfig.json say of an import that begins like a package's. */
function aliasedFile(specifier: string, parent: string, generation: number): string | undefined {
  const code = codeGeneration(generation);
  if (code === undefined || !parent.startsWith("file:") || /^(\.|\/|file:|node:)/.test(specifier))
    return undefined;
  const config = nearestConfig(dirname(fileURLToPath(parent)), code.folder);
  const urls = config?.aliased(specifier).map((path) => pathToFileURL(path).href) ?? [];
  return urls.map((url) => (isFile(url) ? url : guessFile(url, parent))).find((url) => url !== undefined);
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
  const stem = wanted.replace(/\.[cm]?js$/, "");
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
  const generation = codeGeneration(generationOf(url));
  if (generation === undefined || !url.startsWith("file:")) return next(url, context);
  const path = fileURLToPath(url);
  generation.last = path;
  generation.files.set(path, revisionOf(path));
  // As TypeScript's resolveJsonModule has it: no attribute needed.
  if (path.endsWith(".json")) return next(url, { ...context, importAttributes: { type: "json" } });
  if (!/\.([cm]?ts|tsx|jsx)$/.test(path)) return next(url, context);
  return { ...transpiled(url, path, generation), shortCircuit: true };
};

function transpiled(url: string, path: string, generation: CodeGeneration) {
  const text = readFileSync(path, "utf8");
  const tsconfig = nearestConfig(dirname(path), generation.folder);
  const { code, map } = transpile({ path, text, ...(tsconfig && { tsconfig }) });
  generation.maps.set(url, map);
  return { format: formatOf({ path, text }), source: code } as const;
}
