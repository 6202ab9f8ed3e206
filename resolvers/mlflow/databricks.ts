import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Call, CapstanError, type Host } from "../../src/contracts/index.ts";
import { type MlflowApi, recordsIn, textIn, upstream } from "./api.ts";
import type { MlflowOptions } from "./options.ts";
import { isSafe } from "./uri.ts";
import type { Version } from "./versions.ts";

const VERSIONS = "/api/2.0/mlflow/model-versions";

/**
 * Artifacts of a version in the workspace registry of Databricks: listed by it, and read from addresses that it signs.
 * As MLflow's own client does; not run against Databricks.
 */
export class WorkspaceArtifacts {
  readonly #api: MlflowApi;
  readonly #options: MlflowOptions;
  readonly #host: Host;

  constructor(api: MlflowApi, options: MlflowOptions, host: Host) {
    this.#api = api;
    this.#options = options;
    this.#host = host;
  }

  async fetch(version: Version, directory: string, call: Call): Promise<void> {
    const paths = await this.#paths(version, call);
    if (paths.length === 0)
      throw new CapstanError("NOT_FOUND", `'${version.name}' ${version.version} has no files`);
    for (const path of paths) {
      const target = join(directory, path);
      await mkdir(dirname(target), { recursive: true });
      const { url, headers } = await this.#signed(version, path, call);
      await this.#host.fetch(url, dirname(target), call, {
        headers,
        filename: basename(path),
        unpack: false,
      });
    }
  }

  async #paths({ name, version }: Version, call: Call): Promise<string[]> {
    const paths: string[] = [];
    const folders = [""];
    for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
      let token = "";
      do {
        const query = { name, version, path: folder, ...(token === "" ? {} : { page_token: token }) };
        const answer = await this.#api.ask({ path: `${VERSIONS}/list-artifacts`, query }, call);
        for (const { path, is_dir } of recordsIn(answer.files)) {
          (is_dir === true ? folders : paths).push(this.#safe(textIn(path)));
        }
        if (paths.length + folders.length > this.#options.max_files)
          throw upstream(`'${name}' has too many files`);
        token = textIn(answer.next_page_token);
      } while (token !== "");
    }
    return paths;
  }

  #safe(path: string): string {
    if (path !== "" && !path.startsWith("/") && isSafe(path)) return path;
    throw upstream(`The registry at ${this.#api.address} lists '${path}', which is no path below the model`);
  }

  async #signed({ name, version }: Version, path: string, call: Call) {
    const query = { name, version, path };
    const answer = await this.#api.ask({ path: `${VERSIONS}/get-signed-download-uri`, query }, call);
    const headers = recordsIn(answer.headers).map((each) => [textIn(each.name), textIn(each.value)]);
    return { url: textIn(answer.signed_uri), headers: Object.fromEntries(headers) as Record<string, string> };
  }
}
