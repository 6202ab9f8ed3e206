import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import pLimit from "p-limit";
import type { Call, Host } from "../../src/contracts/index.ts";
import { upstream } from "./exchange.ts";

/** A file behind https. */
export interface RemoteFile {
  /** Relative to the model. */
  readonly path: string;
  readonly url: string;
}

export interface FilesRequest {
  readonly files: readonly RemoteFile[];
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the address is one that the settings name, which may be in a private network. */
  readonly trusted: boolean;
  readonly parallel: number;
}

/** Fetches all; the first that fails stops the others. */
export async function fetchFiles(
  host: Host,
  { files, headers, trusted, parallel }: FilesRequest,
  directory: string,
  call: Call,
): Promise<void> {
  const limit = pLimit(parallel);
  const failing = new AbortController();
  const own = { ...call, signal: AbortSignal.any([call.signal, failing.signal]) };
  const fetchOne = async ({ path, url }: RemoteFile) => {
    own.signal.throwIfAborted();
    const folder = dirname(join(directory, path));
    await mkdir(folder, { recursive: true });
    await host.fetch(url, folder, own, {
      headers,
      filename: basename(path),
      unpack: false,
      allow_private: trusted,
    });
  };
  await Promise.all(files.map((file) => limit(() => fetchOne(file)).catch((cause) => failing.abort(cause))));
  call.signal.throwIfAborted();
  if (failing.signal.aborted) throw failing.signal.reason;
}

/** @throws CapstanError UPSTREAM for a listing with a path that would leave the directory. */
export function relativePath(path: string, folder: string): string {
  const prefix = `${folder.replace(/\/+$/, "")}/`;
  const relative = path.startsWith(prefix) ? path.slice(prefix.length) : "..";
  const safe =
    relative.split("/").every((part) => !["", ".", ".."].includes(part)) && !/[\\\0]/.test(relative);
  if (safe) return relative;
  throw upstream(`The listing has '${path}', which is no path below ${folder}`);
}

export const encodedPath = (path: string): string => path.split("/").map(encodeURIComponent).join("/");
