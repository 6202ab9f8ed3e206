import { promisify } from "node:util";
import zlib from "node:zlib";
import { type CapstanError, ERROR_TABLE } from "../contracts/index.ts";
import { errorBody, reportError } from "./error-body.ts";
import type { Exchange } from "./exchange.ts";

const gzip = promisify(zlib.gzip);
const deflate = promisify(zlib.deflate);

/** Below this many bytes compressing costs more than it saves. */
const SMALLEST_COMPRESSED = 1024;

/**
 * Up to this many bytes an answer goes as latin1 text, byte for byte: Node sends text together with the
 * headers in one write, and bytes in a second one, which costs more than the copy.
 */
const LARGEST_TEXT = 64 * 1024;

export type Headers = Record<string, string | number>;

/** A JSON answer. Values are small and made by us: tensors are written by the V2 codec instead. */
export async function sendJson(
  exchange: Exchange,
  status: number,
  value: unknown,
  headers: Headers = {},
): Promise<void> {
  const text = JSON.stringify(value);
  const typed = { "content-type": "application/json", ...headers };
  if (acceptedCoding(exchange, text.length) !== undefined) {
    return sendBytes(exchange, status, Buffer.from(text), typed);
  }
  if (begin(exchange, status, Buffer.byteLength(text), typed)) exchange.response.end(text);
}

/** A complete answer: compressed when the client asked for it, and without a body for HEAD. */
export async function sendBytes(exchange: Exchange, status: number, body: Uint8Array, headers: Headers) {
  const coding = acceptedCoding(exchange, body.length);
  if (coding === undefined) return write(exchange, status, body, headers);
  const packed = await (coding === "gzip" ? gzip : deflate)(body);
  write(exchange, status, packed, { ...headers, "content-encoding": coding, vary: "accept-encoding" });
}

function write(exchange: Exchange, status: number, body: Uint8Array, headers: Headers): void {
  if (!begin(exchange, status, body.length, headers)) return;
  const { response } = exchange;
  if (body.length > LARGEST_TEXT) response.end(body);
  else response.end(Buffer.from(body.buffer, body.byteOffset, body.length).toString("latin1"), "latin1");
}

/** Writes the head of an answer; false when no body is to follow, or nobody is there any more. */
function begin(exchange: Exchange, status: number, length: number, headers: Headers): boolean {
  const { response, request } = exchange;
  if (response.headersSent || response.destroyed) return false;
  Object.assign(headers, exchange.noted);
  headers["content-length"] = length;
  headers["x-request-id"] = exchange.requestId;
  if (exchange.parts.stopping()) headers.connection = "close";
  response.writeHead(status, headers);
  if (request.method !== "HEAD") return true;
  response.end();
  return false;
}

function acceptedCoding(exchange: Exchange, length: number): "gzip" | "deflate" | undefined {
  if (length < SMALLEST_COMPRESSED) return undefined;
  const accepted = exchange.header("accept-encoding");
  if (accepted === undefined || !exchange.parts.settings.gzip_enabled) return undefined;
  const wanted = accepted.split(",").map((part) => part.trim().split(";q="));
  const takes = (coding: string) =>
    wanted.some(([name, weight]) => name === coding && Number(weight ?? 1) > 0);
  if (takes("gzip")) return "gzip";
  return takes("deflate") ? "deflate" : undefined;
}

/** Answers with an error in the form of the route's protocol, and logs those that are ours. */
export function sendError(exchange: Exchange, thrown: unknown): Promise<void> {
  const error = reportError(exchange, thrown);
  return sendJson(exchange, ERROR_TABLE[error.code].http, errorBody(exchange, error), errorHeaders(error));
}

/** OpenAI's SDKs ask again after every status from 500 on, unless they are told not to; a 401 says how (RFC 9110). */
function errorHeaders({ code, retryAfterMs }: CapstanError): Headers {
  return {
    ...(code === "UNAUTHENTICATED" && { "www-authenticate": "Bearer" }),
    ...(code === "UNSUPPORTED" && retryAfterMs === undefined && { "x-should-retry": "false" }),
    ...(retryAfterMs !== undefined && { "retry-after": Math.max(1, Math.ceil(retryAfterMs / 1000)) }),
  };
}
