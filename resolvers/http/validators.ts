import type { IncomingHttpHeaders } from "node:http";

/**
 * What an answer's headers say about the content (RFC 9110, 8.8): its ETag, else time and length. Undefined where
 * they say nothing, and only the content itself can tell.
 */
export function validatorsOf(headers: IncomingHttpHeaders): string | undefined {
  if (headers.etag !== undefined) return `etag:${headers.etag}`;
  const modified = headers["last-modified"];
  return modified === undefined ? undefined : `modified:${modified};${lengthOf(headers) ?? ""}`;
}

/** What `If-Range` takes: a weak ETag does not promise the same bytes. */
export function rangeValidator({ etag, ...headers }: IncomingHttpHeaders): string | undefined {
  if (etag !== undefined) return etag.startsWith("W/") ? undefined : etag;
  return headers["last-modified"];
}

/** Bytes of the whole file, also where the answer is a part of it. */
export function lengthOf(headers: IncomingHttpHeaders): number | undefined {
  const range = /^bytes (?:\d+-\d+|\*)\/(\d+)$/.exec(String(headers["content-range"] ?? ""))?.[1];
  const length = range ?? headers["content-length"];
  return length !== undefined && /^\d+$/.test(length) ? Number(length) : undefined;
}

/** First byte of a partial answer. */
export function startOf(headers: IncomingHttpHeaders): number | undefined {
  const start = /^bytes (\d+)-/.exec(String(headers["content-range"] ?? ""))?.[1];
  return start === undefined ? undefined : Number(start);
}
