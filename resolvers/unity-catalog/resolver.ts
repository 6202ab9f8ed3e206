import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Call, Host, Located, Resolver } from "../../src/contracts/index.ts";
import { CatalogApi } from "./api.ts";
import { upstream } from "./exchange.ts";
import type { UnityCatalogOptions } from "./options.ts";
import { CatalogStorage } from "./storage.ts";
import { fullName, parseUri } from "./uri.ts";
import { versionOf } from "./versions.ts";

/** A version of a registered model. Its content does not change: the revision is which version it is. */
export class UnityCatalogResolver implements Resolver {
  readonly #api: CatalogApi;
  readonly #storage: CatalogStorage;

  constructor(options: UnityCatalogOptions, host: Host) {
    this.#api = new CatalogApi(options);
    this.#storage = new CatalogStorage(this.#api, options, host);
  }

  async locate(uri: string, call: Call): Promise<Located> {
    call.signal.throwIfAborted();
    const found = await versionOf(this.#api, parseUri(uri), call);
    const revision = createHash("sha256").update(`${found.version} ${found.identity}`).digest("hex");
    const location = `uc://${fullName(found)}/${found.version}`;
    const local = found.storage.startsWith("file:") ? { path: await localPath(found.storage) } : {};
    return { version: String(found.version), revision, location, ...local };
  }

  pinned(uri: string, version: string): string {
    return `uc://${fullName(parseUri(uri))}/${version}`;
  }

  async fetch({ location }: Located, directory: string, call: Call): Promise<void> {
    call.signal.throwIfAborted();
    await this.#storage.fetch(await versionOf(this.#api, parseUri(location), call), directory, call);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Files of the registry's own disk, which must be mounted here at the same path. */
async function localPath(storage: string): Promise<string> {
  try {
    const path = fileURLToPath(storage);
    await stat(path);
    return path;
  } catch (cause) {
    throw upstream(
      `The registry keeps the model in ${storage}, which is not on this machine: mount it here`,
      cause,
    );
  }
}
