import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onnxModel } from "./onnx-model.ts";

/** y = x + version */
export const adding = (version: number): Uint8Array =>
  onnxModel({
    inputs: [{ name: "x", datatype: "INT64", shape: ["n"] }],
    outputs: [{ name: "y", datatype: "INT64", shape: ["n"] }],
    constants: { c: [version] },
    nodes: [{ op: "Add", inputs: ["x", "c"], outputs: ["y"] }],
  });

/** Contents by path. */
export type Files = Readonly<Record<string, Uint8Array>>;

/** What speaks MLflow's registry protocol in this process: versions, aliases, and the faults of a bad day. */
export class TestRegistry implements AsyncDisposable {
  readonly aliases: Record<string, string> = { champion: "1" };
  /** Files by version; a version that is not here adds its own number. */
  readonly contents: Record<string, Uint8Array | Files> = {};
  /** Statuses by version, instead of its file. */
  readonly faults: Record<string, number> = {};
  /** Versions that were never registered. */
  readonly unknown = new Set<string>();
  /** Holds up the file of a version until it resolves. */
  readonly held: Record<string, Promise<void>> = {};
  /** Answers everything with a 500. */
  isDown = false;
  /** Of every request, in milliseconds. */
  delay = 0;
  readonly asked: string[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<TestRegistry> {
    const registry = new TestRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, "127.0.0.1", resolve));
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How often the file of a version was brought. */
  fetches(version: string): number {
    return this.asked.filter((line) => line.startsWith("GET") && line.includes(`/${version}/model.onnx`))
      .length;
  }

  /** How often the alias was asked for. */
  get looks(): number {
    return this.asked.filter((path) => path.includes("registered-models/alias")).length;
  }

  /** model-settings.json of a model that follows an alias here. */
  settings(name = "m", extra: Record<string, unknown> = {}, alias = "champion") {
    const source = { registry: this.url, poll: "100ms", ...(extra.source as object | undefined) };
    return {
      name,
      implementation: "onnx",
      parameters: { uri: `models:/m@${alias}`, extra: { ...extra, source } },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.asked.push(`${request.method} ${request.url}`);
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    const url = new URL(request.url!, "http://host");
    await this.held[/artifacts\/(\d+)\//.exec(url.pathname)?.[1] ?? ""];
    const [status, body] = this.isDown
      ? [500, { error_code: "INTERNAL_ERROR", message: "down" }]
      : this.#find(url);
    const content = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
    const type = body instanceof Uint8Array ? "application/octet-stream" : "application/json";
    response.writeHead(status, {
      "content-type": type,
      "content-length": content.length,
      etag: `"${url.pathname}"`,
    });
    response.end(content);
  }

  #files(version: string): Files {
    const content = this.contents[version] ?? adding(Number(version));
    return content instanceof Uint8Array ? { "model.onnx": content } : content;
  }

  /** What lies in a folder, `VERSION` or below, by its own name. */
  #listing(path: string) {
    const [version, ...below] = path.split("/") as [string, ...string[]];
    const folder = below.map((part) => `${part}/`).join("");
    const rests = Object.keys(this.#files(version))
      .filter((name) => name.startsWith(folder))
      .map((name) => name.slice(folder.length).split("/"));
    const folders = new Map(rests.map(([name, ...rest]) => [name!, rest.length > 0]));
    return Array.from(folders, ([name, is_dir]) => ({ path: name, is_dir }));
  }

  #find(url: URL): [number, unknown] {
    const path = url.pathname.replace("/api/2.0/mlflow/", "").replace("/api/2.0/", "");
    const query = url.searchParams;
    if (path === "registered-models/alias") {
      const version = this.aliases[query.get("alias")!];
      const missing = { error_code: "INVALID_PARAMETER_VALUE", message: "no such alias" };
      return version === undefined ? [400, missing] : [200, { model_version: described(version) }];
    }
    if (path === "model-versions/get" && this.unknown.has(query.get("version")!))
      return [
        404,
        {
          error_code: "RESOURCE_DOES_NOT_EXIST",
          message: `Model Version (name=m, version=${query.get("version")}) not found`,
        },
      ];
    if (path === "model-versions/get") return [200, { model_version: described(query.get("version")!) }];
    if (path === "model-versions/get-download-uri")
      return [200, { artifact_uri: `mlflow-artifacts:/${query.get("version")}` }];
    if (path === "mlflow-artifacts/artifacts") return [200, { files: this.#listing(query.get("path")!) }];
    const [, version, file] = /^mlflow-artifacts\/artifacts\/(\d+)\/(.+)$/.exec(path) ?? [];
    const content = version === undefined ? undefined : this.#files(version)[decodeURIComponent(file!)];
    return content === undefined ? [404, {}] : [this.faults[version!] ?? 200, content];
  }
}

const described = (version: string) => {
  return { name: "m", version, source: `models:/m-${version}`, run_id: `run${version}`, status: "READY" };
};
