import { FileServer, file, type Handler, json, status } from "./file-server.ts";

const API = "/api/2.0/mlflow";
const PROXY = "/api/2.0/mlflow-artifacts/artifacts";

/** A fake of MLflow's REST API for faults and for Databricks' part of it; tests/peers has the real server. */
export class FakeMlflow implements AsyncDisposable {
  readonly server: FileServer;
  alias = "1";
  status = "READY";
  /** What get-download-uri says. */
  artifactUri = "mlflow-artifacts:/1";
  /** Content by path below the proxy. */
  files: Record<string, string> = {};
  /** Answers instead, by path. */
  readonly overrides = new Map<string, Handler>();

  private constructor(server: FileServer) {
    this.server = server;
    server.routes.get = (path) => (request, response) => {
      const query = new URL(request.url!, "http://host").searchParams;
      return (this.overrides.get(path) ?? this.#route(path, query))(request, response);
    };
  }

  static async start(): Promise<FakeMlflow> {
    return new FakeMlflow(await FileServer.start());
  }

  get registry(): string {
    return this.server.url("/");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }

  #route(path: string, query: URLSearchParams): Handler {
    if (path === `${API}/registered-models/alias`) return this.#aliased(query);
    if (path === `${API}/model-versions/get`)
      return json({ model_version: this.#version(query.get("version")!) });
    if (path === `${API}/model-versions/get-download-uri`) return json({ artifact_uri: this.artifactUri });
    if (path === PROXY) return json({ files: this.#listed(query.get("path") ?? "") });
    const name = decodeURIComponent(path.slice(PROXY.length + 1));
    const content = this.files[name];
    return path.startsWith(`${PROXY}/`) && content !== undefined
      ? file(() => content)
      : status(404, {}, "{}");
  }

  #aliased(query: URLSearchParams): Handler {
    if (query.get("alias") === "champion") return json({ model_version: this.#version(this.alias) });
    const message = `Registered model alias ${query.get("alias")} not found.`;
    return json({ error_code: "INVALID_PARAMETER_VALUE", message }, 400);
  }

  #version(version: string): object {
    return { name: "iris", version, source: `models:/m-${version}`, run_id: "r1", status: this.status };
  }

  #listed(folder: string): object[] {
    const below = Object.keys(this.files).filter((name) => name.startsWith(`${folder}/`));
    const names = new Set(below.map((name) => name.slice(folder.length + 1).split("/")[0]!));
    return [...names].map((path) => {
      const content = this.files[`${folder}/${path}`];
      return { path, is_dir: content === undefined, file_size: content?.length };
    });
  }
}
