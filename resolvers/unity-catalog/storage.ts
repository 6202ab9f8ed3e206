import { type Call, CapstanError, type Host } from "../../src/contracts/index.ts";
import { CATALOG, type CatalogApi } from "./api.ts";
import { allPages, azureFiles, type CloudQuestion, googleFiles } from "./cloud.ts";
import { isRecord, type Json, recordsIn, textIn, upstream } from "./exchange.ts";
import { encodedPath, fetchFiles, type RemoteFile, relativePath } from "./files.ts";
import type { UnityCatalogOptions } from "./options.ts";
import type { Version } from "./versions.ts";

/** Reads the files of a version from wherever the catalog keeps them. */
export class CatalogStorage {
  readonly #api: CatalogApi;
  readonly #options: UnityCatalogOptions;
  readonly #host: Host;

  constructor(api: CatalogApi, options: UnityCatalogOptions, host: Host) {
    this.#api = api;
    this.#options = options;
    this.#host = host;
  }

  async fetch(version: Version, directory: string, call: Call): Promise<void> {
    // The open source server gives no credentials for files of its own disk.
    if (version.storage.startsWith("file:")) return this.#host.fetch(version.storage, directory, call);
    const given = this.#options.access === "files" ? undefined : await this.#credentials(version, call);
    if (given === undefined) return this.#throughFilesApi(version, directory, call);
    await this.#withCredentials(version, given, directory, call);
  }

  /** Undefined where the registry gives none and the Files API is to be tried. */
  async #credentials({ catalog, schema, model, version }: Version, call: Call): Promise<Json | undefined> {
    const answer = await this.#api.try(`${CATALOG}/temporary-model-version-credentials`, {}, call, {
      catalog_name: catalog,
      schema_name: schema,
      model_name: model,
      version,
      operation: "READ_MODEL_VERSION",
    });
    const { status, json } = answer;
    if (status === 200 && json !== undefined) return json;
    if (this.#options.access === "auto" && status >= 400 && status < 500 && status !== 401) return undefined;
    throw this.#api.refusal(answer);
  }

  async #withCredentials(version: Version, given: Json, directory: string, call: Call): Promise<void> {
    const { aws_temp_credentials, r2_temp_credentials, azure_user_delegation_sas, gcp_oauth_token } = given;
    if (isRecord(aws_temp_credentials)) {
      await this.#fromS3(version.storage, {}, aws_temp_credentials, directory, call);
    } else if (isRecord(r2_temp_credentials)) {
      const { uri, endpoint } = r2Place(version.storage);
      await this.#fromS3(uri, { endpoint, region: "auto" }, r2_temp_credentials, directory, call);
    } else if (isRecord(azure_user_delegation_sas)) {
      const question = this.#question(version, textIn(azure_user_delegation_sas.sas_token));
      await this.#download(await azureFiles(question, call), {}, directory, call);
    } else if (isRecord(gcp_oauth_token)) {
      const token = textIn(gcp_oauth_token.oauth_token);
      const files = await googleFiles(this.#question(version, token), call);
      await this.#download(files, { authorization: `Bearer ${token}` }, directory, call);
    } else {
      throw unsupported(version, given);
    }
  }

  #fromS3(uri: string, place: Json, credentials: Json, directory: string, call: Call): Promise<void> {
    const { access_key_id, secret_access_key, session_token } = credentials;
    const keys = { access_key_id, secret_access_key, session_token };
    // A slash: the folder of a model, whatever the names in it.
    return this.#host.fetch(`${uri.replace(/\/+$/, "")}/`, directory, call, {
      ...place,
      ...this.#options.storage,
      ...keys,
    });
  }

  #question({ storage }: Version, token: string): CloudQuestion {
    const { max_files: maxFiles, timeout, storage: given } = this.#options;
    const endpoint = textIn(given.endpoint).replace(/\/+$/, "") || undefined;
    return { storage, token, endpoint, maxFiles, timeout };
  }

  async #download(
    files: readonly RemoteFile[],
    headers: Readonly<Record<string, string>>,
    directory: string,
    call: Call,
    trusted = this.#options.storage.endpoint !== undefined,
  ): Promise<void> {
    if (files.length === 0) throw new CapstanError("NOT_FOUND", "The model version has no files");
    await fetchFiles(
      this.#host,
      { files, headers, trusted, parallel: this.#options.parallel },
      directory,
      call,
    );
  }

  /** Databricks' Files API on /Models, as MLflow's own client reads it; not run against Databricks. */
  async #throughFilesApi(
    { catalog, schema, model, version }: Version,
    directory: string,
    call: Call,
  ): Promise<void> {
    const root = `/Models/${catalog}/${schema}/${model}/${version}`;
    const files: RemoteFile[] = [];
    const folders = [root];
    for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
      files.push(...(await this.#listed(root, folder, folders, call)));
    }
    await this.#download(files, await this.#api.headers(call), directory, call, true);
  }

  /** Files of a folder; folders in it are added to those that are still to be listed. */
  #listed(root: string, folder: string, folders: string[], call: Call): Promise<RemoteFile[]> {
    return allPages({ storage: root, maxFiles: this.#options.max_files }, async (token) => {
      const query: Record<string, string> = token === "" ? {} : { page_token: token };
      const page = await this.#api.ask(`/api/2.0/fs/directories${encodedPath(folder)}`, query, call);
      const files: RemoteFile[] = [];
      for (const entry of recordsIn(page.contents)) {
        const path = textIn(entry.path);
        const relative = relativePath(path.replace(/\/+$/, ""), root);
        if (entry.is_directory === true) folders.push(`${root}/${relative}`);
        else files.push({ path: relative, url: `${this.#api.address}/api/2.0/fs/files${encodedPath(path)}` });
      }
      return { files, next: textIn(page.next_page_token) };
    });
  }
}

/** r2://bucket@account.r2.cloudflarestorage.com/path speaks S3 at the account's own address. */
function r2Place(storage: string) {
  const [, bucket, host, path = ""] = /^r2:\/\/([^@/]+)@([^/]+)\/?(.*)$/.exec(storage) ?? [];
  if (bucket === undefined)
    throw upstream(`The registry's storage_location '${storage}' is no address in R2`);
  return { uri: `s3://${bucket}/${path}`, endpoint: `https://${host}` };
}

function unsupported({ storage }: Version, given: Json): CapstanError {
  const kinds = Object.keys(given).filter((key) => isRecord(given[key]));
  return new CapstanError(
    "UNSUPPORTED",
    `The registry gives ${kinds.join(", ") || "no credentials"} for ${storage}, which this server cannot use. ` +
      "On Databricks set parameters.extra.source.access to files",
  );
}
