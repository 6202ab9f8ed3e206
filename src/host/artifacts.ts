import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Call, CapstanError, type Host, type Resolver } from "../contracts/index.ts";
import { parseOptions } from "./options.ts";
import { resolverFor } from "./plugins.ts";

const SCHEME = /^([a-z][a-z0-9+.-]+):/i;

/** A uri in full: plain paths are taken from the model's folder. Windows drive letters are not schemes. */
export function absoluteUri(uri: string, folder: string): string {
  if (SCHEME.test(uri)) return uri;
  return pathToFileURL(isAbsolute(uri) ? uri : resolve(folder, uri)).href;
}

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
 * Absolute path of the files behind a uri, on local disk: in place where they are local, else fetched into a temporary
 * directory that goes with `stack`.
 * @throws CapstanError of the resolver, or LOAD_FAILED when no resolver has the scheme.
 */
export async function materialise(
  uri: string,
  options: unknown,
  host: Host,
  stack: AsyncDisposableStack,
  call: Call,
): Promise<string> {
  await using closing = new AsyncDisposableStack();
  const resolver = await openResolver(uri, options, host, closing);
  const located = await resolver.locate(uri, call);
  if (located.path !== undefined) return located.path;
  const directory = await mkdtemp(join(tmpdir(), "capstan-artifact-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  await resolver.fetch(located, directory, call);
  return directory;
}

/** Brings the files behind a uri into a directory that exists. */
export async function fetchInto(uri: string, directory: string, host: Host, call: Call): Promise<void> {
  if (!(await isDirectory(directory))) {
    throw new CapstanError("INTERNAL", `Host.fetch needs an existing directory, and '${directory}' is none`);
  }
  await using closing = new AsyncDisposableStack();
  const resolver = await openResolver(uri, {}, host, closing);
  await resolver.fetch(await resolver.locate(uri, call), directory, call);
}

const isDirectory = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
