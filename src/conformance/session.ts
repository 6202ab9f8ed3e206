/** What one check works with: the facts, and clients that keep a log of its exchanges. */
import { type Client, credentials, Client as GrpcChannel } from "@grpc/grpc-js";
import type { Agent } from "undici";
import { GrpcClient } from "./grpc-client.ts";
import { HttpClient, makeAgent, type Reply } from "./http-client.ts";
import { exchangeRaw, type RawAnswer, type RawOptions, rawExchangeLog } from "./raw-http.ts";
import { type Exchange, type Facts, NotApplicable, type Target } from "./types.ts";

const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

/** Where the server is, and how it is asked. */
export interface Endpoint {
  /** Without a trailing slash. */
  readonly url: string;
  /** `host:port`. */
  readonly grpc?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** The connections of a run. */
export class Connections implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly agent: Agent = makeAgent();
  readonly channel: Client | undefined;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
    this.channel =
      endpoint.grpc === undefined
        ? undefined
        : new GrpcChannel(endpoint.grpc, credentials.createInsecure(), {
            "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
            "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
          });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channel?.close();
    await this.agent.destroy();
  }
}

export class Session {
  readonly facts: Facts;
  readonly http: HttpClient;
  readonly log: Exchange[] = [];
  readonly #connections: Connections;
  readonly #signal: AbortSignal;

  constructor(connections: Connections, facts: Facts, signal: AbortSignal) {
    this.facts = facts;
    this.#connections = connections;
    this.#signal = signal;
    const { url, headers } = connections.endpoint;
    this.http = new HttpClient({ url, headers, agent: connections.agent, signal, log: this.log });
  }

  /** @throws NotApplicable without a gRPC address. */
  get grpc(): GrpcClient {
    const { channel, endpoint } = this.#connections;
    if (!channel) throw new NotApplicable("no gRPC address was given (--grpc)");
    const { headers, timeoutMs } = endpoint;
    return new GrpcClient({ client: channel, headers, deadlineMs: timeoutMs, log: this.log });
  }

  /** @throws NotApplicable without a model that answers. */
  get target(): Target {
    return present(this.facts.target, this.facts.targetProblem ?? "there is no model to ask");
  }

  /** @throws NotApplicable without the reference model. */
  get reference(): Target {
    return present(this.facts.reference, "the reference model is not served");
  }

  async raw(chunks: readonly Buffer[], options: Omit<RawOptions, "signal"> = {}): Promise<RawAnswer> {
    const url = new URL(this.#connections.endpoint.url);
    const answer = await exchangeRaw(url, chunks, { ...options, signal: this.#signal });
    const { sent, received } = rawExchangeLog(chunks, answer);
    this.log.push({ sent: this.#withoutSecrets(sent), received });
    return answer;
  }

  /** The run's own headers may hold a credential, and reports are passed on. */
  #withoutSecrets(text: string): string {
    const values = Object.values(this.#connections.endpoint.headers);
    return values.reduce((shown, value) => shown.replaceAll(value, "***"), text);
  }

  /** Request head for `raw`, with the server's host and the run's own headers. */
  head(method: string, path: string, headers: Readonly<Record<string, string>>): Buffer {
    const { url, headers: own } = this.#connections.endpoint;
    const { host, pathname } = new URL(url);
    const all = { host, ...own, ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.from(`${method} ${pathname.replace(/\/$/, "")}${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  }

  infer(model: Target, request: unknown): Promise<Reply> {
    return this.http.post(inferPath(model.name), request);
  }
}

function present<T>(value: T | undefined, reason: string): T {
  if (value === undefined) throw new NotApplicable(reason);
  return value;
}

export function modelPath(name: string, version?: string): string {
  const path = `/v2/models/${encodeURIComponent(name)}`;
  return version === undefined ? path : `${path}/versions/${encodeURIComponent(version)}`;
}

export function inferPath(name: string, version?: string): string {
  return `${modelPath(name, version)}/infer`;
}
