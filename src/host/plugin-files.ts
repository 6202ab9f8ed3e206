import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { createRequire, type ResolveFnOutput, type ResolveHookSync, registerHooks } from "node:module";
import { extname, join, parse } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export type PluginKind = "runtime" | "adapter" | "resolver" | "memory";

const FOLDERS: Readonly<Record<PluginKind, string>> = {
  runtime: "runtimes",
  adapter: "adapters",
  resolver: "resolvers",
  memory: "memory",
};

/** ".ts" in a checkout and ".js" in the built package: plugins are found beside this file, compiled the same way. */
const EXTENSION = extname(new URL(import.meta.url).pathname);

const folderOf = (kind: PluginKind) => new URL(`../../${FOLDERS[kind]}/`, import.meta.url);

/** The plugins that come with the server, by name: one file each, or one folder with an index file. */
export async function builtInFiles(kind: PluginKind): Promise<ReadonlyMap<string, string>> {
  const folder = fileURLToPath(folderOf(kind));
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(entries.map((entry) => builtInFile(folder, entry)));
  return new Map(found.filter((file) => file !== undefined).sort());
}

async function builtInFile(folder: string, entry: Dirent): Promise<[name: string, url: string] | undefined> {
  if (entry.isFile()) {
    const { name, ext } = parse(entry.name);
    const isPlugin = ext === EXTENSION && !name.endsWith(".d");
    return isPlugin ? [name, pathToFileURL(join(folder, entry.name)).href] : undefined;
  }
  const index = `index${EXTENSION}`;
  const inside = await readdir(join(folder, entry.name)).catch((): string[] => []);
  return inside.includes(index)
    ? [entry.name, pathToFileURL(join(folder, entry.name, index)).href]
    : undefined;
}

/** A request that our own resolve hook answers, so that a package is looked for as `import` would. */
const FROM_MODEL = "capstan-plugin:";
const IMPORT_CONDITIONS = ["node", "import", "node-addons", "module-sync"];

/** What plugins from outside import by this package's name: the copy that is running. */
const OWN_MODULES: Readonly<Record<string, string>> = {
  capstan: new URL(`../contracts/index${EXTENSION}`, import.meta.url).href,
  "capstan/testing": new URL(`../testing/index${EXTENSION}`, import.meta.url).href,
};

let hooked = false;

/** Installed when the first plugin from outside is loaded, and for the life of the process. */
export function hookPluginImports(): void {
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier.startsWith(FROM_MODEL)) {
        return nextResolve(specifier.slice(FROM_MODEL.length), { ...context, conditions: IMPORT_CONDITIONS });
      }
      const own = Object.hasOwn(OWN_MODULES, specifier) ? OWN_MODULES[specifier] : undefined;
      return own === undefined ? orOurs(specifier, context, nextResolve) : nextResolve(own, context);
    },
  });
}

/** A package of the plugin's own, else one that the server has, such as zod. */
function orOurs(...[specifier, context, next]: Parameters<ResolveHookSync>): ResolveFnOutput {
  try {
    return next(specifier, context);
  } catch (missing) {
    if ((missing as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND" || /^[./#]/.test(specifier))
      throw missing;
    try {
      return next(specifier, { ...context, parentURL: import.meta.url });
    } catch {
      throw missing;
    }
  }
}

/**
 * The file of an npm package, looked for from a folder upwards.
 * @throws Error with a `code` of Node's module resolution.
 */
export function packageFile(name: string, fromFolder: string): string {
  hookPluginImports();
  return pathToFileURL(createRequire(join(fromFolder, "model.js")).resolve(`${FROM_MODEL}${name}`)).href;
}
