import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const API = "/api/2.0/mlflow";
const PROXY = "/api/2.0/mlflow-artifacts/artifacts";

/** The files of one version, by their paths. */
export type Files = Readonly<Record<string, Buffer>>;

/** A model registry on loopback that speaks as much of MLflow's API as an alias and its artifacts need. */
export class LocalRegistry implements AsyncDisposable {
  readonly #server: Server;
  readonly #filesOf: (model: string, version: number) => Files;
  readonly #aliases = new Map<string, number>();
  /** When a file of a version was first asked for, on the clock of `performance`. */
  readonly fetchedAt = new Map<string, number>();

  private constructor(filesOf: (model: string, version: number) => Files) {
    this.#filesOf = filesOf;
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(filesOf: (model: string, version: number) => Files): Promise<LocalRegistry> {
    const registry = new LocalRegistry(filesOf);
    registry.#server.listen(0, "127.0.0.1");
    await once(registry.#server, "listening");
    return registry;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Lets the alias of a model stand for a version. */
  promote(model: string, version: number): void {
    this.#aliases.set(model, version);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://registry");
    const name = searchParams.get("name") ?? "";
    if (pathname === `${API}/registered-models/alias`) {
      const version = String(this.#aliases.get(name));
      const source = `models:/${name}/${version}`;
      sendJson(response, { model_version: { name, version, source, run_id: "", status: "READY" } });
    } else if (pathname === `${API}/model-versions/get-download-uri`) {
      sendJson(response, { artifact_uri: `mlflow-artifacts:/${name}/${searchParams.get("version")}` });
    } else if (pathname === PROXY) this.#list(searchParams.get("path") ?? "", response);
    else this.#send(pathname.slice(PROXY.length + 1), request, response);
  }

  #list(folder: string, response: ServerResponse): void {
    const [model = "", version] = folder.split("/");
    const files = Object.entries(this.#filesOf(model, Number(version)));
    sendJson(response, {
      files: files.map(([path, { length }]) => ({ path, is_dir: false, file_size: length })),
    });
  }

  #send(path: string, { method }: IncomingMessage, response: ServerResponse): void {
    const [model = "", version, file = ""] = path.split("/");
    const bytes = this.#filesOf(model, Number(version))[file];
    if (bytes === undefined) {
      response.writeHead(404).end("{}");
      return;
    }
    const key = `${model} ${version}`;
    if (!this.fetchedAt.has(key)) this.fetchedAt.set(key, performance.now());
    const etag = `"${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}"`;
    response.writeHead(200, { "content-length": bytes.length, etag });
    response.end(method === "HEAD" ? undefined : bytes);
  }
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}
