import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import pLimit from "p-limit";
import { type Call, CapstanError, type Host } from "../../src/contracts/index.ts";
import { type MlflowApi, recordsIn, textIn, upstream } from "./api.ts";
import type { MlflowOptions } from "./options.ts";
import { isSafe } from "./uri.ts";

/** A file that MLflow serves. */
export interface Artifact {
  /** Relative to what was asked for. */
  readonly path: string;
  readonly size: number;
  readonly url: string;
}

const PROXY = "/api/2.0/mlflow-artifacts/artifacts";

/** Artifacts that the MLflow server hands through, whatever store is behind it. */
export class ProxiedArtifacts {
  readonly #api: MlflowApi;
  readonly #options: MlflowOptions;
  readonly #host: Host;

  constructor(api: MlflowApi, options: MlflowOptions, host: Host) {
    this.#api = api;
    this.#options = options;
    this.#host = host;
  }

  /** Every file below an `mlflow-artifacts:` uri, or the one it names; in order of path. */
  async list(uri: string, call: Call): Promise<Artifact[]> {
    const root = this.#rootOf(uri);
    const found: Artifact[] = [];
    const folders = [""];
    for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
      for (const { path, size, isFolder } of await this.#entries(root, folder, call)) {
        if (isFolder) folders.push(path);
        else found.push({ path, size, url: this.#url(`${root}/${path}`) });
      }
      if (found.length + folders.length > this.#options.max_files) {
        throw upstream(`There are more than ${this.#options.max_files} files at ${uri} (max_files)`);
      }
    }
    if (found.length === 0) return await this.#oneFile(root, uri, call);
    return found.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** ETag of a file, and its size where the server has none. */
  async etag({ url, size }: Artifact, call: Call): Promise<string> {
    const answer = await this.#head(url, call);
    return answer.headers.get("etag") ?? answer.headers.get("last-modified") ?? String(size);
  }

  async fetch(artifacts: readonly Artifact[], directory: string, call: Call): Promise<void> {
    const limit = pLimit(this.#options.parallel);
    const failing = new AbortController();
    const signal = AbortSignal.any([call.signal, failing.signal]);
    const fetches = artifacts.map((artifact) =>
      limit(() => this.#fetchOne(artifact, directory, { ...call, signal })).catch((cause) =>
        failing.abort(cause),
      ),
    );
    await Promise.all(fetches);
    call.signal.throwIfAborted();
    if (failing.signal.aborted) throw failing.signal.reason;
  }

  async #fetchOne({ path, url }: Artifact, directory: string, call: Call): Promise<void> {
    call.signal.throwIfAborted();
    const target = join(directory, path);
    await mkdir(dirname(target), { recursive: true });
    const options = {
      headers: this.#api.headers,
      filename: basename(path),
      unpack: false,
      allow_private: true,
    };
    await this.#host.fetch(url, dirname(target), call, options);
  }

  async #entries(root: string, folder: string, call: Call) {
    const path = folder === "" ? root : `${root}/${folder}`;
    const { files } = await this.#api.ask({ path: PROXY, query: { path } }, call);
    return recordsIn(files).map(({ path: name, is_dir, file_size }) => {
      const relative = folder === "" ? textIn(name) : `${folder}/${textIn(name)}`;
      if (textIn(name) === "" || relative.startsWith("/") || !isSafe(relative)) {
        throw upstream(
          `The registry at ${this.#api.address} lists '${textIn(name)}', which is no path below ${path}`,
        );
      }
      return { path: relative, size: Number(file_size ?? 0), isFolder: is_dir === true };
    });
  }

  /** A uri of one file lists nothing. */
  async #oneFile(root: string, uri: string, call: Call): Promise<Artifact[]> {
    const url = this.#url(root);
    const { status, headers } = await this.#head(url, call);
    if (status !== 200) throw new CapstanError("NOT_FOUND", `There are no artifacts at ${uri}`);
    return [{ path: basename(root), size: Number(headers.get("content-length") ?? 0), url }];
  }

  async #head(url: string, { signal }: Call): Promise<Response> {
    try {
      const own = AbortSignal.any([signal, AbortSignal.timeout(this.#options.timeout)]);
      return await fetch(url, {
        method: "HEAD",
        headers: this.#api.headers,
        redirect: "manual",
        signal: own,
      });
    } catch (cause) {
      signal.throwIfAborted();
      throw upstream(`Cannot ask the registry at ${this.#api.address}: ${(cause as Error).message}`, cause);
    }
  }

  #url(path: string): string {
    return `${this.#api.address}${PROXY}/${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  /** The path at the server; a uri that names another server is refused, as its credentials are not ours. */
  #rootOf(uri: string): string {
    const [, host, path = ""] = /^mlflow-artifacts:(?:\/\/([^/]+))?\/+(.*)$/.exec(uri) ?? [];
    if (host !== undefined && host !== new URL(this.#api.address).host) {
      throw new CapstanError(
        "UNSUPPORTED",
        `The artifacts at ${uri} are on another server than ${this.#api.address}: set registry to that one`,
      );
    }
    return path.replace(/\/+$/, "");
  }
}
