import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** A web server in this process. Paths without a handler answer 404. */
export class FileServer implements AsyncDisposable {
  readonly routes = new Map<string, Handler>();
  readonly requests: IncomingMessage[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      this.requests.push(request);
      const { pathname } = new URL(request.url!, "http://host");
      const handler = this.routes.get(pathname) ?? status(404);
      await handler(request, response);
    });
  }

  static async start(): Promise<FileServer> {
    const server = new FileServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Method and path of each request so far. */
  get seen(): string[] {
    return this.requests.map(({ method, url }) => `${method} ${url}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export const sha256 = (content: string | Uint8Array): string =>
  createHash("sha256").update(content).digest("hex");

export const etagOf = (content: string | Uint8Array): string => `"${sha256(content).slice(0, 16)}"`;

/** A whole file with an ETag, by GET, HEAD and Range. */
export function file(content: () => string | Uint8Array, headers: Record<string, string> = {}): Handler {
  return (request, response) => {
    const bytes = Buffer.from(content());
    const etag = etagOf(bytes);
    const from = request.headers["if-range"] === etag ? rangeStart(request) : 0;
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": bytes.length - from,
      etag,
      ...(from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
      ...headers,
    });
    response.end(request.method === "HEAD" ? undefined : bytes.subarray(from));
  };
}

export const rangeStart = ({ headers }: IncomingMessage): number =>
  Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);

export function status(code: number, headers: Record<string, string> = {}, body = ""): Handler {
  return (_, response) => {
    response.writeHead(code, headers);
    response.end(body);
  };
}

export const redirect = (location: string, code = 302): Handler => status(code, { location });

export function json(value: unknown, code = 200): Handler {
  return status(code, { "content-type": "application/json" }, JSON.stringify(value));
}

/** Sends part of the file, though its length says more, and cuts the connection. */
export function cutAfter(bytes: number, content: Uint8Array): Handler {
  return (request, response) => {
    const from = rangeStart(request);
    const rest = content.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": rest.length,
      etag: etagOf(content),
      ...(from > 0 ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
    });
    if (request.method === "HEAD") return response.end();
    response.write(rest.subarray(0, bytes), () => setTimeout(() => response.destroy(), 20));
  };
}
