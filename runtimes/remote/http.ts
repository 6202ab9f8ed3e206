import { Pool } from "undici";
import type { Call, InferRequest, InferResponse, TraceSpan } from "../../src/contracts/index.ts";
import { type Backend, type BackendParts, listsBinary, type RemoteMetadata, whereOf } from "./backend.ts";
import { encodeContent } from "./content.ts";
import { remainingMs } from "./exchange.ts";
import { badAnswer, httpFailure, tidy } from "./failures.ts";
import { type HttpAnswer, type HttpRequest, send } from "./http-exchange.ts";
import { encodeRequest } from "./http-request.ts";
import { decodeResponse } from "./http-response.ts";
import { isRecord, metadataOf } from "./metadata.ts";
import { serverOf, traced } from "./span.ts";

/** A model behind V2 REST. Streams need gRPC: V2 REST has no infer with several answers. */
export class HttpBackend implements Backend {
  readonly address: BackendParts["address"];
  readonly #parts: BackendParts;
  readonly #where: string;
  readonly #path: string;
  readonly #pool: Pool;
  /** Whether the server takes binary tensors; asked once. */
  #binary: boolean | undefined;

  constructor(parts: BackendParts) {
    const { address, model, version, options } = parts;
    this.address = address;
    this.#parts = parts;
    this.#where = whereOf(parts);
    const versioned = version === "" ? "" : `/versions/${encodeURIComponent(version)}`;
    this.#path = `${address.path}/v2/models/${encodeURIComponent(model)}${versioned}`;
    this.#binary = options.binary === "auto" ? undefined : options.binary;
    this.#pool = openPool(parts);
  }

  async metadata(call: Call): Promise<RemoteMetadata> {
    return metadataOf(this.#json(await this.#get(this.#path, call)));
  }

  async ready(call: Call): Promise<boolean> {
    try {
      await this.#get(`${this.#path}/ready`, call);
      return true;
    } catch {
      call.signal.throwIfAborted();
      return false;
    }
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    const binary = await this.#takesBinary(call);
    const { headers, body } = encodeRequest(encodeContent(request, binary), binary);
    const answer = await this.#send({ method: "POST", path: `${this.#path}/infer`, headers, body }, call);
    try {
      return decodeResponse(answer);
    } catch (cause) {
      throw badAnswer(this.#where, (cause as Error).message, cause);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }

  async #takesBinary(call: Call): Promise<boolean> {
    this.#binary ??= await listsBinary(this.#extensions(call));
    return this.#binary;
  }

  async #extensions(call: Call): Promise<unknown> {
    return this.#json(await this.#get(`${this.#parts.address.path}/v2`, call)).extensions;
  }

  #get(path: string, call: Call): Promise<HttpAnswer> {
    return this.#send({ method: "GET", path, headers: {} }, call);
  }

  /** @throws CapstanError for every answer that is not 200. */
  async #send(request: HttpRequest, call: Call): Promise<HttpAnswer> {
    const { options } = this.#parts;
    const span = this.#begin(request, call);
    const headers = {
      ...options.headers,
      ...request.headers,
      ...span?.headers,
      ...callHeaders(call, options.timeout),
    };
    const limit = {
      where: this.#where,
      timeoutMs: options.timeout,
      maxBytes: options.max_message_bytes,
    };
    const answer = await traced(span, send(this.#pool, { ...request, headers }, limit, call), noteStatus);
    if (answer.status === 200) return answer;
    const retryAfterMs = retryAfter(answer.headers["retry-after"]);
    throw httpFailure(this.#where, answer.status, messageOf(answer), { retryAfterMs });
  }

  /** OpenTelemetry's conventions for HTTP clients. */
  #begin({ method, path }: HttpRequest, { trace }: Call): TraceSpan | undefined {
    const { address } = this.#parts;
    return trace?.begin(method, "client", {
      ...{ "http.request.method": method, ...serverOf(address) },
      "url.full": `${address.tls ? "https" : "http"}://${address.host}${path}`,
    });
  }

  #json({ body }: HttpAnswer): Readonly<Record<string, unknown>> {
    const value = parse(body.toString("utf8"));
    if (!isRecord(value)) throw badAnswer(this.#where, "metadata that is not a JSON object");
    return value;
  }
}

function noteStatus({ status }: HttpAnswer, span: TraceSpan): string | undefined {
  span.set({ "http.response.status_code": status });
  return status === 200 ? undefined : String(status);
}

function openPool({ address, options, tls }: BackendParts): Pool {
  const connect = {
    ...tls,
    timeout: options.connect_timeout,
    ...(options.tls?.server_name === undefined ? {} : { servername: options.tls.server_name }),
  };
  return new Pool(`${address.tls ? "https" : "http"}://${address.host}`, {
    connections: options.connections,
    allowH2: false,
    // The exchange has its own limit, which also counts the wait for a connection.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect,
  });
}

/** What a Capstan at the other end reads; others log it or ignore it. */
function callHeaders(call: Call, timeoutMs: number): Record<string, string> {
  return {
    "x-request-id": call.requestId,
    "x-request-timeout-ms": String(Math.max(1, Math.ceil(remainingMs(call, timeoutMs)))),
  };
}

/** What the server says is wrong: V2's `error`, or FastAPI's `detail`. A page of HTML is not repeated. */
function messageOf({ headers, body }: HttpAnswer): string {
  const value = parse(body.toString("utf8"));
  if (isRecord(value)) return tidy(textIn(value));
  const type = String(headers["content-type"] ?? "");
  if (type.startsWith("text/plain") && body.length > 0) return tidy(body.toString("utf8"));
  return `no V2 error, but ${body.length} bytes of ${type || "unknown type"}`;
}

function textIn({ error, detail }: Readonly<Record<string, unknown>>): string {
  if (typeof error === "string") return error;
  if (typeof detail === "string") return detail;
  return Array.isArray(detail) ? detail.map(faultIn).join("; ") : "no message";
}

/** One fault of a FastAPI answer; its `input` repeats the caller's data and is left out. */
function faultIn(fault: unknown): string {
  const { loc, msg } = isRecord(fault) ? fault : {};
  return `${Array.isArray(loc) ? loc.join(".") : "body"}: ${String(msg)}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** RFC 9110: seconds, or a date. */
function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : undefined;
}
