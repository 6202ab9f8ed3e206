import { createHash } from "node:crypto";
import { pathToFileURL } from "node:url";
import pLimit from "p-limit";
import {
  type Call,
  CapstanError,
  type Host,
  invalid,
  type Located,
  type Resolver,
} from "../../src/contracts/index.ts";
import { MlflowApi } from "./api.ts";
import { type Artifact, ProxiedArtifacts } from "./artifacts.ts";
import { WorkspaceArtifacts } from "./databricks.ts";
import type { MlflowOptions } from "./options.ts";
import { type Asked, parseUri } from "./uri.ts";
import { downloadUri, loggedModel, runUri, versionOf } from "./versions.ts";

/** A model registry and artifact store of MLflow. */
export class MlflowResolver implements Resolver {
  readonly #api: MlflowApi;
  readonly #options: MlflowOptions;
  readonly #host: Host;
  readonly #proxied: ProxiedArtifacts;

  constructor(options: MlflowOptions, host: Host) {
    this.#options = options;
    this.#host = host;
    this.#api = new MlflowApi(options);
    this.#proxied = new ProxiedArtifacts(this.#api, options, host);
  }

  /** One question for a registered model. Runs and artifacts have no version: their files are listed. */
  async locate(uri: string, call: Call): Promise<Located> {
    call.signal.throwIfAborted();
    const asked = parseUri(uri);
    if ("name" in asked) {
      const { name, version, identity } = await versionOf(this.#api, asked, call);
      return { version, revision: digest([version, identity]), location: `models:/${name}/${version}` };
    }
    const location = await this.#artifactsOf(asked, call);
    return { version: "", revision: await this.#revision(location, call), location };
  }

  pinned(uri: string, version: string): string {
    const asked = parseUri(uri);
    if ("name" in asked) return `models:/${asked.name}/${version}`;
    throw invalid(`'${uri}' has no versions`);
  }

  async fetch({ location, version }: Located, directory: string, call: Call): Promise<void> {
    call.signal.throwIfAborted();
    if (version === "") return this.#fetchFrom(location, directory, call);
    const asked = parseUri(location);
    if (!("name" in asked)) throw new CapstanError("INTERNAL", `'${location}' is not a version`);
    const found = { name: asked.name, version, identity: "" };
    const uri = absolute(await downloadUri(this.#api, found, call));
    if (uri.startsWith("dbfs:")) {
      await new WorkspaceArtifacts(this.#api, this.#options, this.#host).fetch(found, directory, call);
    } else {
      await this.#fetchFrom(uri, directory, call);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #fetchFrom(uri: string, directory: string, call: Call): Promise<void> {
    if (isProxied(uri)) {
      await this.#proxied.fetch(await this.#proxied.list(uri, call), directory, call);
    } else {
      await this.#host.fetch(uri, directory, call, this.#options.storage);
    }
  }

  async #artifactsOf(asked: Exclude<Asked, { name: string }>, call: Call): Promise<string> {
    if (asked.kind === "artifacts") return asked.uri;
    if (asked.kind === "logged") return absolute((await loggedModel(this.#api, asked.model, call)).uri);
    return absolute(await runUri(this.#api, asked.run, asked.path, call));
  }

  /** A logged model and a run's artifact may be written again: what is there decides. */
  async #revision(location: string, call: Call): Promise<string> {
    if (!isProxied(location)) return digest([location]);
    const files = await this.#proxied.list(location, call);
    const limit = pLimit(this.#options.parallel);
    const line = async (file: Artifact) =>
      `${file.path} ${file.size} ${await this.#proxied.etag(file, call)}`;
    return digest(await Promise.all(files.map((file) => limit(() => line(file)))));
  }
}

const isProxied = (uri: string) => uri.startsWith("mlflow-artifacts:");

/** MLflow writes artifact roots on its own disk as plain paths. */
const absolute = (uri: string) => (uri.startsWith("/") ? pathToFileURL(uri).href : uri);

const digest = (lines: readonly string[]) => createHash("sha256").update(JSON.stringify(lines)).digest("hex");
