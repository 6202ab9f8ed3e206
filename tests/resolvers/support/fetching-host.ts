import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Host, Located, ResolverPlugin } from "../../../src/contracts/index.ts";
import { fetchInto } from "../../../src/host/artifacts.ts";
import { testCall, testHost } from "../../../src/testing/index.ts";
import { Files } from "../../support/files.ts";

/** A host whose `fetch` is the server's own. */
export const fetchingHost: Host = testHost({
  fetch: (uri, directory, call, options) => fetchInto(uri, directory, fetchingHost, call, options),
});

/** A resolver with its options parsed, whose registry may be anything. */
export async function opened<O>(
  plugin: ResolverPlugin<O>,
  options: Record<string, unknown>,
  host = fetchingHost,
) {
  const parsed = plugin.options.safeParse(options);
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return plugin.open(parsed.data, host);
}

export async function locateWith<O>(
  plugin: ResolverPlugin<O>,
  uri: string,
  options: Record<string, unknown>,
): Promise<Located> {
  await using resolver = await opened(plugin, options);
  return await resolver.locate(uri, testCall());
}

/** Path and text of the files that a uri leads to. */
export async function fetchWith<O>(
  plugin: ResolverPlugin<O>,
  uri: string,
  options: Record<string, unknown>,
  host = fetchingHost,
  call = testCall(),
): Promise<Record<string, string>> {
  await using resolver = await opened(plugin, options, host);
  await using folder = await Files.create();
  await resolver.fetch(await resolver.locate(uri, call), folder.root, call);
  const entries = await readdir(folder.root, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const texts = paths.map(async (path) => [path.slice(folder.root.length + 1), await readFile(path, "utf8")]);
  return Object.fromEntries(await Promise.all(texts));
}
