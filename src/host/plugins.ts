import { existsSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  type AdapterPlugin,
  CapstanError,
  isCapstanError,
  type MemoryPlugin,
  type ResolverPlugin,
  type RuntimePlugin,
} from "../contracts/index.ts";
import { hint } from "../settings/nearest.ts";
import { builtInFiles, hookPluginImports, type PluginKind, packageFile } from "./plugin-files.ts";
import { importKept, keptHasChanged } from "./user-code/kept-module.ts";

export type { PluginKind } from "./plugin-files.ts";

/** The plugin of each kind; its options are checked with its own schema before they are handed to it. */
export interface Plugins {
  readonly runtime: RuntimePlugin;
  readonly adapter: AdapterPlugin;
  readonly resolver: ResolverPlugin;
  readonly memory: MemoryPlugin;
}

const cache = new Map<string, Promise<unknown>>();

/** Other names of plugins that come with the server: what others call the same thing. */
const ALIASES: Partial<Record<PluginKind, Readonly<Record<string, string>>>> = {
  adapter: { crewai: "crew" },
};

/** Names that stand for another of {@link builtInNames}. */
export function aliases(kind: PluginKind): string[] {
  return Object.keys(ALIASES[kind] ?? {});
}

function withoutAlias(kind: PluginKind, name: string): string {
  const known = ALIASES[kind] ?? {};
  return Object.hasOwn(known, name) ? known[name]! : name;
}

/** Names of the plugins that come with the server, sorted. */
export async function builtInNames(kind: PluginKind): Promise<string[]> {
  return [...(await builtInFiles(kind)).keys()];
}

/**
 * A plugin by name: one of ours, else a `./file.ts` in the model's folder, else an npm package looked for
 * from there. It is imported on first use and kept; a file is imported again when it, or one that it imports, has changed.
 * @throws CapstanError LOAD_FAILED when there is none, or it is not a plugin of that kind, or it does not load.
 */
export async function loadPlugin<K extends PluginKind>(
  kind: K,
  asked: string,
  fromFolder: string,
): Promise<Plugins[K]> {
  const name = withoutAlias(kind, asked);
  const builtIn = (await builtInFiles(kind)).get(name);
  const url = builtIn ?? (await externalFile(kind, name, fromFolder));
  const key = `${kind} ${url}`;
  const isFile = builtIn === undefined && isFileName(name);
  let loading = cache.get(key);
  if (loading === undefined || (isFile && keptHasChanged(url))) {
    loading = importPlugin(kind, name, url, builtIn !== undefined);
    cache.set(key, loading);
    loading.catch(() => cache.delete(key));
  }
  return (await loading) as Plugins[K];
}

const isFileName = (name: string) => /^(\.{1,2}[\\/]|file:)/.test(name) || isAbsolute(name);

async function externalFile(kind: PluginKind, name: string, fromFolder: string): Promise<string> {
  if (isFileName(name)) return moduleFile(kind, name, fromFolder);
  try {
    return packageFile(name, fromFolder);
  } catch (cause) {
    throw new CapstanError("LOAD_FAILED", await notFound(kind, name, fromFolder), { cause });
  }
}

async function notFound(kind: PluginKind, name: string, fromFolder: string): Promise<string> {
  const names = await builtInNames(kind);
  const known = names.length === 0 ? "" : ` This server has ${names.join(", ")}.`;
  const advice = `A package from npm is looked for from ${fromFolder}: npm install ${name}`;
  return `There is no ${kind} '${name}'${hint(name, names) || "."}${known} ${advice}`;
}

function moduleFile(kind: PluginKind, name: string, fromFolder: string): string {
  const path = name.startsWith("file:") ? fileURLToPath(name) : resolve(fromFolder, name);
  if (existsSync(path)) return pathToFileURL(path).href;
  throw new CapstanError("LOAD_FAILED", `No ${kind} '${name}': there is no file ${path}`);
}

async function importPlugin(kind: PluginKind, name: string, url: string, builtIn: boolean): Promise<unknown> {
  const isPackage = !builtIn && !isFileName(name);
  if (isPackage) hookPluginImports();
  try {
    const module = builtIn || isPackage ? await import(url) : await importKept(url);
    return checkedPlugin(kind, builtIn ? name : undefined, (module as { default?: unknown }).default, url);
  } catch (cause) {
    throw isCapstanError(cause) ? cause : importFailure(kind, name, cause);
  }
}

/** The default export, when it is a plugin of that kind. */
function checkedPlugin(kind: PluginKind, name: string | undefined, value: unknown, url: string): unknown {
  const fault = shapeFault(kind, name, value);
  if (fault === undefined) return value;
  const make = `define${kind[0]!.toUpperCase()}${kind.slice(1)}`;
  throw new CapstanError(
    "LOAD_FAILED",
    `${url} is not a ${kind}: ${fault}. Make its default export with ${make}()`,
  );
}

function shapeFault(kind: PluginKind, name: string | undefined, value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return "it has no default export that is an object";
  const plugin = value as Readonly<Record<string, unknown>>;
  if (plugin.kind !== kind) return `its kind is ${JSON.stringify(plugin.kind)}`;
  if (typeof plugin.name !== "string" || plugin.name === "") return "it has no name";
  if (name !== undefined && plugin.name !== name)
    return `its name is '${plugin.name}' and its file's is '${name}'`;
  const options = plugin.options as Readonly<Record<string, unknown>> | undefined;
  if (typeof options?.safeParse !== "function" || typeof options.shape !== "object") {
    return "its options are not a zod object schema";
  }
  const start = kind === "runtime" || kind === "adapter" ? "load" : "open";
  if (typeof plugin[start] !== "function") return `it has no ${start}()`;
  return kind === "resolver" && !Array.isArray(plugin.schemes) ? "it has no list of schemes" : undefined;
}

const MISSING_PACKAGE = /Cannot find (?:package|module) '((?:@[^/']+\/)?[^./'][^/']*)/;

function importFailure(kind: PluginKind, name: string, cause: unknown): CapstanError {
  const message = cause instanceof Error ? cause.message : String(cause);
  const missing = MISSING_PACKAGE.exec(message)?.[1];
  if (missing !== undefined) {
    const text = `The ${kind} '${name}' needs a package that is not installed: npm install ${missing}`;
    return new CapstanError("LOAD_FAILED", text, { cause });
  }
  return new CapstanError("LOAD_FAILED", `The ${kind} '${name}' does not load: ${message}`, { cause });
}

/**
 * The resolver that has a uri scheme, such as `s3`.
 * @throws CapstanError LOAD_FAILED listing the schemes there are.
 */
export async function resolverFor(scheme: string): Promise<ResolverPlugin> {
  const names = await builtInNames("resolver");
  // Most schemes are the name of their resolver: the others need not be imported to find those.
  const likelyFirst = names.toSorted((a, b) => Number(b === scheme) - Number(a === scheme));
  const schemes: string[] = [];
  for (const name of likelyFirst) {
    const plugin = await loadPlugin("resolver", name, ".");
    if (plugin.schemes.includes(scheme)) return plugin;
    schemes.push(...plugin.schemes);
  }
  throw new CapstanError(
    "LOAD_FAILED",
    `No resolver has the scheme '${scheme}:'${hint(scheme, schemes) || "."} There is ${schemes.sort().join(", ")}`,
  );
}
