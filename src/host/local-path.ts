import { readdir, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const SCHEME = /^([a-z][a-z0-9+.-]+):/i;

/** Scheme of a uri in lower case, without the colon; a single letter is a Windows drive. */
export function schemeOf(uri: string): string | undefined {
  return SCHEME.exec(uri)?.[1]?.toLowerCase();
}

/** The path of an artifact that is on this machine; undefined for one that is behind a resolver. */
export function localPath(uri: string, folder: string): string | undefined {
  const scheme = schemeOf(uri);
  if (scheme === undefined) return resolve(folder, uri);
  return scheme === "file" ? filePath(uri, folder) : undefined;
}

/** `file:` uris are also written without the slashes, and relative. */
function filePath(uri: string, folder: string): string {
  try {
    return fileURLToPath(uri);
  } catch {
    return resolve(folder, uri.slice("file:".length));
  }
}

/**
 * The path of an artifact that is served where it lies; undefined for one that a resolver finds, also for a folder of
 * versions: which of them is served is for its resolver to say.
 */
export async function pathInPlace(uri: string, folder: string): Promise<string | undefined> {
  const path = localPath(uri, folder);
  return path === undefined || (await holdsVersions(path)) ? undefined : path;
}

/** What the resolver of `file:` makes of a path: see resolvers/file. */
const LATEST = /@latest$/;
const NUMBER = /^\d{1,15}$/;
const PASSED_OVER = /^\.|\.(incomplete|tmp|part|partial)$/i;

/** The folder that a path with `@latest` speaks of; the path itself where it is one. */
export async function withoutLatest(path: string): Promise<string> {
  return LATEST.test(path) && !(await stat(path).catch(() => undefined)) ? path.replace(LATEST, "") : path;
}

async function holdsVersions(path: string): Promise<boolean> {
  if ((await withoutLatest(path)) !== path) return true;
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const counted = entries.filter(({ name }) => !PASSED_OVER.test(name));
  return counted.length > 0 && counted.every((entry) => NUMBER.test(entry.name) && !entry.isFile());
}
