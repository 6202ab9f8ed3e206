import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { CapstanError, invalid } from "../contracts/index.ts";

const gunzip = promisify(zlib.gunzip);
const inflate = promisify(zlib.inflate);

/**
 * The whole body, decompressed.
 * @param limit bytes allowed, before and after decompression.
 * @throws CapstanError TOO_LARGE, UNSUPPORTED_MEDIA for a coding we do not know, INVALID_ARGUMENT for bad
 * compressed data, CANCELLED when the client went away in the middle.
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const { "content-length": announced = 0, "content-encoding": coding = "identity" } = request.headers;
  if (Number(announced) > limit) throw tooLarge(limit);
  const body = await collect(request, limit);
  return coding === "identity" ? body : decompress(body, coding, limit);
}

function collect(request: IncomingMessage, limit: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  request.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > limit) reject(tooLarge(limit));
    else chunks.push(chunk);
  });
  request.on("end", () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size)));
  request.on("error", (cause) =>
    reject(new CapstanError("CANCELLED", "The request's body broke off", { cause })),
  );
  request.on("aborted", () => reject(new CapstanError("CANCELLED", "The request's body broke off")));
  return promise;
}

async function decompress(body: Buffer, coding: string, limit: number): Promise<Buffer> {
  if (coding !== "gzip" && coding !== "deflate") {
    throw new CapstanError(
      "UNSUPPORTED_MEDIA",
      `Content-Encoding '${coding}' is not one of gzip, deflate, identity`,
    );
  }
  try {
    return await (coding === "gzip" ? gunzip : inflate)(body, { maxOutputLength: limit });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(limit);
    throw invalid(`The body is not ${coding} data: ${(cause as Error).message}`, { cause });
  }
}

function tooLarge(limit: number): CapstanError {
  return new CapstanError("TOO_LARGE", `The body is larger than ${limit} bytes (setting max_body_bytes)`);
}
