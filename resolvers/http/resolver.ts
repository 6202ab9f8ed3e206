import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Call, isCapstanError, type Located, type Resolver } from "../../src/contracts/index.ts";
import { type Answer, HttpClient } from "./client.ts";
import { Download } from "./download.ts";
import { networkFailure, statusFailure, upstream } from "./failures.ts";
import type { HttpOptions } from "./options.ts";
import { label, locationOf, nameOf, type Source, sourceOf } from "./source.ts";
import { archiveKind, unpack } from "./unpack.ts";
import { lengthOf, validatorsOf } from "./validators.ts";

/** Servers that answer GET alone: no HEAD, or a signature that is for GET. */
const NO_HEAD: ReadonlySet<number> = new Set([400, 403, 405, 501]);

/** One file over HTTP; its revision is what the server's validators say. */
export class HttpResolver implements Resolver {
  readonly #options: HttpOptions;
  readonly #client: HttpClient;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#client = new HttpClient(options);
  }

  /** One HEAD. A server that gives neither ETag nor Last-Modified has to be read whole. */
  async locate(uri: string, call: Call): Promise<Located> {
    const source = sourceOf(uri, this.#options);
    return { version: "", revision: await this.#revision(source, call), location: locationOf(source) };
  }

  async #revision(source: Source, call: Call): Promise<string> {
    const answer = await this.#headers(source.url, call);
    try {
      if (answer.status !== 200) throw statusFailure(answer.url, answer.status);
      this.#check(source, answer.headers);
      return revisionOf(source, answer.headers) ?? (await this.#contentRevision(source.url, call));
    } finally {
      answer.body.destroy();
    }
  }

  async fetch({ location, revision }: Located, directory: string, call: Call): Promise<void> {
    const source = sourceOf(location, this.#options);
    const name = nameOf(source.url, this.#options.filename);
    const kind = this.#options.unpack ? archiveKind(name) : undefined;
    const target = join(directory, kind === undefined ? name : `.download-${crypto.randomUUID()}`);
    let same = true;
    const check = (headers: IncomingHttpHeaders) => {
      this.#check(source, headers);
      same = same && sameRevision(source, headers, revision);
    };
    await new Download(this.#client, this.#options, target, check).run(source.url, call);
    // Some servers have other validators for GET than for HEAD; MLflow is one.
    if (!same && (await this.#revision(source, call)) !== revision) throw changed(source.url);
    await this.#verify(source, target, revision, call);
    if (kind === undefined) return;
    await unpack(kind, { file: target, directory, label: label(source.url), limits: this.#options }, call);
    await rm(target);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
  }

  async #headers(url: URL, call: Call): Promise<Answer> {
    const answer = await this.#client.ask("HEAD", url, {}, call);
    if (!NO_HEAD.has(answer.status)) return answer;
    answer.body.destroy();
    return await this.#client.ask("GET", url, {}, call);
  }

  /** Refuses what cannot be the file, before it is downloaded. */
  #check({ url }: Source, headers: IncomingHttpHeaders): void {
    const name = nameOf(url, this.#options.filename);
    if (/^text\/html\b/i.test(headers["content-type"] ?? "") && !/\.html?$/i.test(name)) {
      throw upstream(
        `${label(url)} answered with a web page, not a file: is it the page of a login or a listing?`,
      );
    }
    const encoding = headers["content-encoding"] ?? "identity";
    // Some servers call the file's own compression an encoding.
    if (encoding !== "identity" && !/\.(tgz|gz)$/i.test(name)) {
      throw upstream(`${label(url)} came with content-encoding ${encoding}, which was not asked for`);
    }
    const { max_bytes } = this.#options;
    const length = lengthOf(headers) ?? 0;
    if (length > max_bytes) throw upstream(`${label(url)} has ${length} bytes; max_bytes is ${max_bytes}`);
  }

  async #contentRevision(url: URL, call: Call): Promise<string> {
    const { status, body } = await this.#client.ask("GET", url, {}, call);
    try {
      if (status !== 200) throw statusFailure(url, status);
      return `content:${await digestOf(body, call)}`;
    } catch (cause) {
      call.signal.throwIfAborted();
      throw isCapstanError(cause) ? cause : networkFailure(url, cause, false);
    } finally {
      body.destroy();
    }
  }

  /** Compares the file with its pin, or with the content that `locate` saw. */
  async #verify({ url, sha256 }: Source, file: string, revision: string, call: Call): Promise<void> {
    const expected = sha256 ?? /^content:(.*)/.exec(revision)?.[1];
    if (expected === undefined) return;
    const found = await digestOf(createReadStream(file), call);
    if (found === expected) return;
    if (sha256 === undefined) throw changed(url);
    throw upstream(
      `${label(url)} has the sha256 ${found}, and ${expected} was asked for. ` +
        "If the file was meant to change, change the digest in the settings",
    );
  }
}

/** A pinned file cannot change. Undefined: only the content tells. */
const revisionOf = ({ sha256 }: Source, headers: IncomingHttpHeaders) =>
  sha256 === undefined ? validatorsOf(headers) : `sha256:${sha256}`;

/** What is downloaded must be what was located: the host keeps it under that revision. */
function sameRevision(source: Source, headers: IncomingHttpHeaders, revision: string): boolean {
  return revision.startsWith("content:") || revisionOf(source, headers) === revision;
}

const changed = (url: URL) => upstream(`${label(url)} changed while it was being fetched; try again`);

async function digestOf(stream: Readable, { signal }: Call): Promise<string> {
  const hash = createHash("sha256");
  try {
    await pipeline(stream, hash, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw cause;
  }
  return hash.digest("hex");
}
