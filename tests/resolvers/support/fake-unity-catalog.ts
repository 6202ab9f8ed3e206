import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { FileServer } from "./file-server.ts";

export interface CatalogVersion {
  readonly version: number;
  readonly status?: string;
  readonly storage_location: string;
  readonly id?: string;
}

interface Reply {
  readonly status: number;
  /** A string goes out as text. */
  readonly body: unknown;
}

const notFound = (message: string): Reply => ({
  status: 404,
  body: {
    error_code: "NOT_FOUND",
    details: [{ reason: "NOT_FOUND", "@type": "type.googleapis.com/google.rpc.ErrorInfo" }],
    message,
  },
});

const BASE = "/api/2.1/unity-catalog";

/**
 * A fake of one model, main.ml.iris, in a Unity Catalog. What it answers was recorded from the open source server,
 * 0.7.0, which no registry of packages has; aliases, credentials, tokens and files are those that Databricks documents.
 */
export class FakeUnityCatalog implements AsyncDisposable {
  readonly server: FileServer;
  /** Which of the two it is: the open source server knows no aliases. */
  databricks = false;
  versions: CatalogVersion[] = [];
  comment: string | null = null;
  aliases: Record<string, number> = {};
  /** What the question for temporary credentials gets. */
  credentials: Reply = { status: 200, body: {} };
  /** Content of the Files API, by path below /Models/main/ml/iris. */
  files: Record<string, string> = {};
  /** Bearer tokens that are accepted; everybody is, when it is empty. */
  tokens: string[] = [];
  pageSize = 100;
  readonly bodies: string[] = [];

  private constructor(server: FileServer) {
    this.server = server;
    server.routes.get = () => (request, response) => this.#answer(request, response);
  }

  static async start(): Promise<FakeUnityCatalog> {
    return new FakeUnityCatalog(await FileServer.start());
  }

  get registry(): string {
    return this.server.url("/");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, "http://host");
    this.bodies.push(await text(request));
    const { status, body } = this.#reply(decodeURIComponent(url.pathname), url.searchParams, request);
    response.writeHead(status, {
      "content-type": typeof body === "string" ? "text/plain" : "application/json",
    });
    response.end(
      request.method === "HEAD" ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    );
  }

  #reply(path: string, query: URLSearchParams, { headers }: IncomingMessage): Reply {
    if (path === "/oidc/v1/token") return this.#token(headers.authorization);
    const token = headers.authorization?.replace("Bearer ", "") ?? "";
    if (this.tokens.length > 0 && !this.tokens.includes(token)) {
      return {
        status: 401,
        body: {
          error_code: "UNAUTHENTICATED",
          message: "Credential was not sent or was of an unsupported type",
        },
      };
    }
    if (path === `${BASE}/temporary-model-version-credentials`) return this.credentials;
    if (path.startsWith("/api/2.0/fs/")) return this.#file(path.slice("/api/2.0/fs/".length));
    return this.#model(path.slice(`${BASE}/models/`.length), query);
  }

  #model(path: string, query: URLSearchParams): Reply {
    const [name, what, which = ""] = path.split("/");
    if (name !== "main.ml.iris") return notFound(`Registered model not found: ${name}`);
    if (what === undefined)
      return { status: 200, body: { name: "iris", full_name: name, comment: this.comment } };
    if (what === "aliases") return this.#alias(which);
    return which === "" ? this.#list(query) : this.#version(Number(which));
  }

  #alias(alias: string): Reply {
    if (!this.databricks) return { status: 404, body: "Status: 404\nDescription: Not Found\n\n" };
    const version = this.aliases[alias];
    if (version !== undefined) return this.#version(version);
    const message = `Alias '${alias}' does not exist`;
    return { status: 404, body: { error_code: "RESOURCE_DOES_NOT_EXIST", message } };
  }

  #version(version: number): Reply {
    const found = this.versions.find((each) => each.version === version);
    if (found === undefined) return notFound(`Model version not found: main.ml.iris/${version}`);
    return { status: 200, body: described(found) };
  }

  #list(query: URLSearchParams): Reply {
    const start = Number(query.get("page_token") ?? 0);
    const page = this.versions.slice(start, start + this.pageSize);
    const next = start + page.length;
    const next_page_token = next < this.versions.length ? String(next) : null;
    return { status: 200, body: { model_versions: page.map(described), next_page_token } };
  }

  #token(authorization = ""): Reply {
    const login = Buffer.from(authorization.replace("Basic ", ""), "base64").toString();
    if (login !== "principal:secret") {
      return {
        status: 401,
        body: { error: "invalid_client", error_description: "Client authentication failed" },
      };
    }
    const access_token = `token-${this.tokens.length}`;
    this.tokens.push(access_token);
    return { status: 200, body: { access_token, token_type: "Bearer", expires_in: 3600 } };
  }

  #file(path: string): Reply {
    const [, what, below = ""] = /^(directories|files)\/Models\/main\/ml\/iris\/(.*)$/.exec(path) ?? [];
    if (what === "files") return { status: 200, body: this.files[below] ?? "" };
    const names = Object.keys(this.files).filter((name) => name.startsWith(`${below}/`));
    const parts = new Set(names.map((name) => name.slice(below.length + 1).split("/")[0]!));
    const contents = [...parts].map((part) => {
      const is_directory = !Object.hasOwn(this.files, `${below}/${part}`);
      return { path: `/Models/main/ml/iris/${below}/${part}`, name: part, is_directory };
    });
    return { status: 200, body: { contents } };
  }
}

function described(version: CatalogVersion): object {
  const names = { model_name: "iris", catalog_name: "main", schema_name: "ml" };
  const times = { created_at: 1795218333972, updated_at: 1795218334346 };
  return {
    ...names,
    source: "models:/m-ec3d63ab",
    run_id: "r1",
    status: "READY",
    id: "9f4c900e",
    ...times,
    ...version,
  };
}
