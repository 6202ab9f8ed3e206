import { stat } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Call, CapstanError, type Host, type Located, type Resolver } from "../contracts/index.ts";
import type { ArtifactCache } from "./cache/artifact-cache.ts";
import { parseOptions } from "./options.ts";
import { resolverFor } from "./plugins.ts";

const SCHEME = /^([a-z][a-z0-9+.-]+):/i;

/** A uri in full: plain paths are taken from the model's folder. Windows drive letters are not schemes. */
export function absoluteUri(uri: string, folder: string): string {
  if (SCHEME.test(uri)) return uri;
  return pathToFileURL(isAbsolute(uri) ? uri : resolve(folder, uri)).href;
}

const missing = (what: string) => new CapstanError("UNSUPPORTED", `A resolver has no Host.${what}`);

/** What a resolver may ask of the host outside of a load: files that another resolver brings, and nothing else. */
const RESOLVER_HOST: Host = {
  runtime: () => Promise.reject(missing("runtime")),
  adapter: () => Promise.reject(missing("adapter")),
  code: () => Promise.reject(missing("code")),
  model: () => {
    throw missing("model");
  },
  languageModel: (llm) => llm,
  fetch: (uri, directory, call, options) => fetchInto(uri, directory, RESOLVER_HOST, call, options),
};

/** Opens the resolver that has the uri's scheme; the stack closes it. */
async function openResolver(
  uri: string,
  options: unknown,
  host: Host,
  stack: AsyncDisposableStack,
): Promise<Resolver> {
  const scheme = SCHEME.exec(uri)![1]!.toLowerCase();
  const plugin = await resolverFor(scheme);
  return stack.use(await plugin.open(parseOptions(plugin.options, options, "parameters.extra.source"), host));
}

/**
 * What a uri stands for now.
 * @throws CapstanError of the resolver, or LOAD_FAILED when no resolver has the scheme.
 */
export async function locateOnce(uri: string, options: unknown, call: Call): Promise<Located> {
  await using closing = new AsyncDisposableStack();
  const resolver = await openResolver(uri, options, RESOLVER_HOST, closing);
  return await resolver.locate(uri, call);
}

/**
 * One version of what a uri stands for.
 * @throws CapstanError UNSUPPORTED where the resolver cannot name one, or what it throws.
 */
export async function locateVersion(
  uri: string,
  version: string,
  options: unknown,
  call: Call,
): Promise<Located> {
  await using closing = new AsyncDisposableStack();
  const resolver = await openResolver(uri, options, RESOLVER_HOST, closing);
  const fixed = resolver.pinned?.(uri, version);
  if (fixed === undefined)
    throw new CapstanError(
      "UNSUPPORTED",
      `'${uri}' cannot be asked for version '${version}': only what served here can be pinned`,
    );
  return await resolver.locate(fixed, call);
}

/** What a candidate of a registry was found to be, and where its files are kept. */
export interface Found {
  readonly uri: string;
  readonly key: string;
  readonly located: Located;
}

/** Files on local disk. */
export interface Materialised {
  /** Absolute path. */
  readonly path: string;
  /** SHA-256 of the files and their names; absent for those that are read in place. */
  readonly digest?: string;
}

/** In place where the files are local, else in the cache, where they are held until `stack` is disposed. */
export async function materialise(
  { uri, key, located }: Found,
  cache: ArtifactCache,
  options: unknown,
  host: Host,
  stack: AsyncDisposableStack,
  call: Call,
): Promise<Materialised> {
  if (located.path !== undefined) return { path: located.path };
  const artifact = await cache.acquire(key, located, async (directory, earlier) => {
    await using closing = new AsyncDisposableStack();
    const resolver = await openResolver(uri, options, host, closing);
    await resolver.fetch(located, directory, call, earlier);
  });
  return stack.use(artifact);
}

/** Absolute path of an artifact that a resolver finds on this machine. */
export async function pathOf(uri: string, options: unknown, call: Call): Promise<string> {
  const { path } = await locateOnce(uri, options, call);
  if (path !== undefined) return path;
  throw new CapstanError("LOAD_FAILED", `'${uri}' is not on this machine`);
}

/** Brings the files behind a uri into a directory that exists. `options` are the resolver's. */
export async function fetchInto(
  uri: string,
  directory: string,
  host: Host,
  call: Call,
  options: unknown = {},
): Promise<void> {
  if (!(await isDirectory(directory))) {
    throw new CapstanError("INTERNAL", `Host.fetch needs an existing directory, and '${directory}' is none`);
  }
  await using closing = new AsyncDisposableStack();
  const resolver = await openResolver(uri, options, host, closing);
  await resolver.fetch(await resolver.locate(uri, call), directory, call);
}

const isDirectory = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
