import type { SpanAttributes, TraceSpan } from "../../src/contracts/index.ts";
import type { Address } from "./address.ts";

/** Where a span's request goes, in OpenTelemetry's terms. */
export function serverOf({ host, tls }: Address): SpanAttributes {
  const { hostname, port } = new URL(`${tls ? "https" : "http"}://${host}`);
  return { "server.address": hostname, "server.port": Number(port || (tls ? 443 : 80)) };
}

/**
 * The same work; the span ends with it.
 * @param failureIn an answer that says that the request failed.
 */
export function traced<T>(
  span: TraceSpan | undefined,
  work: Promise<T>,
  failureIn?: (answer: T, span: TraceSpan) => unknown,
): Promise<T> {
  return span === undefined ? work : ended(span, work, failureIn);
}

async function ended<T>(
  span: TraceSpan,
  work: Promise<T>,
  failureIn?: (answer: T, span: TraceSpan) => unknown,
): Promise<T> {
  try {
    const answer = await work;
    span.end(failureIn?.(answer, span));
    return answer;
  } catch (error) {
    span?.end(error);
    throw error;
  }
}
