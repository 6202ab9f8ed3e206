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
