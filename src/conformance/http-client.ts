/** HTTP as a careful client speaks it: nothing is retried, decompressed or thrown for a status. */
import { Agent, request } from "undici";
import { cut, expect, isRecord, shown } from "./expect.ts";
import { parseJson, stringifyJson } from "./json.ts";
import type { Exchange } from "./types.ts";

const SHOWN_CHARACTERS = 1500;

export interface HttpOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, with its content type. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: Buffer | string;
}

/** An answer, whatever its status. */
export class Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;

  constructor(status: number, headers: Readonly<Record<string, string>>, body: Buffer) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }

  get text(): string {
    return this.body.toString("utf8");
  }

  /** @throws CheckFailure where the body is not JSON. */
  json(): unknown {
    try {
      return parseJson(this.text);
    } catch {
      expect(false, `The body is not JSON: ${shown(this.text)}`);
    }
  }
}

/** @throws CheckFailure unless the answer is 200. */
export function expectOk(reply: Reply, what: string): Reply {
  expect(reply.status === 200, `${what}: expected status 200, got ${reply.status} ${cut(reply.text, 300)}`);
  return reply;
}

/** @throws CheckFailure unless the answer is an HTTP error with `{"error": string}`. */
export function expectRefused(reply: Reply, what: string): Reply {
  const { status } = reply;
  expect(status >= 400, `${what} must be an HTTP error, got ${status} ${cut(reply.text, 300)}`);
  const body = reply.json();
  const described = isRecord(body) && typeof body.error === "string" && body.error !== "";
  expect(described, `${what}: expected {"error": string} with status ${status}, got ${shown(body)}`);
  return reply;
}

function flat(headers: NodeJS.Dict<string | string[]>): Record<string, string> {
  const entries = Object.entries(headers).map(([name, value]) => [name, String(value)]);
  return Object.fromEntries(entries) as Record<string, string>;
}

function printable(body: Buffer | string | undefined): string {
  if (body === undefined) return "";
  const text = body.toString("latin1").replaceAll(/[^\x20-\x7e\n]/g, ".");
  return cut(text, SHOWN_CHARACTERS);
}

function headerLines(headers: Readonly<Record<string, string>>): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("");
}

export interface HttpClientOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: Agent;
  readonly signal: AbortSignal;
  readonly log: Exchange[];
}

/** Requests of one check; each is written to its log. */
export class HttpClient {
  readonly #options: HttpClientOptions;

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /** @throws the transport's error, when there is no answer. */
  async send(method: string, path: string, options: HttpOptions = {}): Promise<Reply> {
    const body = options.json === undefined ? options.body : stringifyJson(options.json);
    const type: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
    const headers = { ...type, ...this.#options.headers, ...options.headers };
    const sent = `${method} ${path}\n${headerLines({ ...type, ...options.headers })}\n${printable(body)}`;
    const { agent: dispatcher, signal, log, url } = this.#options;
    try {
      const answer = await request(`${url}${path}`, {
        method: method as "GET",
        headers,
        ...(body === undefined ? {} : { body }),
        dispatcher,
        signal,
      });
      const reply = new Reply(
        answer.statusCode,
        flat(answer.headers),
        Buffer.from(await answer.body.arrayBuffer()),
      );
      log.push({
        sent,
        received: `${reply.status}\n${headerLines(reply.headers)}\n${printable(reply.body)}`,
      });
      return reply;
    } catch (error) {
      log.push({ sent, received: `no answer: ${String(error)}` });
      throw error;
    }
  }

  get(path: string): Promise<Reply> {
    return this.send("GET", path);
  }

  post(path: string, json: unknown): Promise<Reply> {
    return this.send("POST", path, { json });
  }
}

export function makeAgent(): Agent {
  return new Agent({ connections: 64, pipelining: 1, connect: { timeout: 5000 } });
}
