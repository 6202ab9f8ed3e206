import type { IncomingMessage, ServerResponse } from "node:http";
import { etagOf, FileServer, status } from "./file-server.ts";

interface Stored {
  readonly content: string;
  readonly modified: Date;
}

/**
 * A fake of S3's REST API: enough of ListObjectsV2, HeadObject and GetObject for faults that a real store cannot be
 * told to have. It checks no signature; tests/peers has a real store.
 */
export class FakeS3 implements AsyncDisposable {
  readonly objects = new Map<string, Stored>();
  readonly server: FileServer;
  /** Amazon's is the MD5 of the content, or of its parts'. */
  etagOf: (content: string) => string = etagOf;
  /** Keys on one page of a listing. */
  pageSize = 1000;
  /** Answers instead, when it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;

  private constructor(server: FileServer) {
    this.server = server;
    server.routes.get = () => (request, response) => this.#answer(request, response);
  }

  static async start(): Promise<FakeS3> {
    return new FakeS3(await FileServer.start());
  }

  put(key: string, content: string, modified = new Date(0)): void {
    this.objects.set(key, { content, modified });
  }

  get options(): Record<string, unknown> {
    return {
      endpoint: this.server.url("").replace(/\/$/, ""),
      access_key_id: "test",
      secret_access_key: "testtest",
      max_retries: 0,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }

  #answer(request: IncomingMessage, response: ServerResponse): unknown {
    if (this.intercept(request, response)) return undefined;
    const { pathname, searchParams } = new URL(request.url!, "http://host");
    const [, bucket, ...key] = decodeURIComponent(pathname).split("/");
    if (bucket !== "models") return s3Error(404, "NoSuchBucket")(request, response);
    if (searchParams.has("list-type")) return this.#list(searchParams, response);
    return this.#object(key.join("/"), request, response);
  }

  #list(query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get("prefix") ?? "";
    const delimiter = query.get("delimiter");
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    const isBelow = (key: string) => delimiter !== null && key.slice(prefix.length).includes(delimiter);
    const folders = keys.filter(isBelow).map((key) => prefix + key.slice(prefix.length).split("/")[0]);
    const start = Number(query.get("continuation-token") ?? 0);
    const files = keys.filter((key) => !isBelow(key));
    const page = files.slice(start, start + this.pageSize);
    const next = start + page.length;
    response.writeHead(200, { "content-type": "application/xml" });
    response.end(
      `<ListBucketResult><IsTruncated>${next < files.length}</IsTruncated>` +
        `<NextContinuationToken>${next}</NextContinuationToken>` +
        page.map((key) => this.#entry(key)).join("") +
        [...new Set(folders)]
          .map((name) => `<CommonPrefixes><Prefix>${name}/</Prefix></CommonPrefixes>`)
          .join("") +
        "</ListBucketResult>",
    );
  }

  #entry(key: string): string {
    const { content, modified } = this.objects.get(key)!;
    return (
      `<Contents><Key>${key}</Key><Size>${Buffer.byteLength(content)}</Size>` +
      `<ETag>${this.etagOf(content)}</ETag><LastModified>${modified.toISOString()}</LastModified></Contents>`
    );
  }

  #object(key: string, request: IncomingMessage, response: ServerResponse): unknown {
    const stored = this.objects.get(key);
    if (stored === undefined) return s3Error(404, "NoSuchKey")(request, response);
    const etag = this.etagOf(stored.content);
    const match = request.headers["if-match"];
    if (match !== undefined && match !== etag) return s3Error(412, "PreconditionFailed")(request, response);
    response.writeHead(200, {
      etag,
      "content-length": Buffer.byteLength(stored.content),
      "last-modified": stored.modified.toUTCString(),
    });
    return response.end(request.method === "HEAD" ? undefined : stored.content);
  }
}

export function s3Error(code: number, name: string) {
  const body = `<Error><Code>${name}</Code><Message>the store says ${name}</Message></Error>`;
  return status(code, { "content-type": "application/xml" }, body);
}
