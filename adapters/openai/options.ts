import ms, { type StringValue } from "ms";
import { z } from "zod";
import { type Address, parseAddress } from "./address.ts";

const LONGEST_MS = 24 * 60 * 60 * 1000;

/** A duration such as "250ms", "60s" or "5m"; milliseconds once parsed. */
const duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h)$/, 'must be a duration such as "250ms", "60s" or "5m"')
  .transform((text) => ms(text as StringValue))
  .refine((value) => value >= 1 && value <= LONGEST_MS, "must be from 1ms to 24h");

const baseUrl = z.string().transform((text, context): Address => {
  try {
    return parseAddress(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: (error as Error).message });
    return z.NEVER;
  }
});

const differ = (addresses: readonly Address[]) =>
  new Set(addresses.map(({ label }) => label)).size === addresses.length;

const OURS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "content-type",
  "host",
  "transfer-encoding",
  "x-request-id",
]);

/** RFC 9110, field names and values. */
const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "is not a header name")
  .transform((name) => name.toLowerCase())
  .refine((name) => !OURS.has(name), "is set by the server itself");
const headerValue = z.string().regex(/^[\t\x20-\x7e]*$/, "must be printable ASCII");

/** What `parameters.extra` may say about a model behind an OpenAI-compatible API. */
export const openaiOptions = z.strictObject({
  /** One server, or several that serve the same model. */
  base_url: z.union([
    baseUrl.transform((address) => [address]),
    z.array(baseUrl).min(1).max(256).refine(differ, "an address is given twice"),
  ]),
  /** The model's name there; its name here when absent. */
  model: z.string().min(1).optional(),
  /** Sent as a bearer token; nothing is sent when it is empty. */
  api_key: z
    .string()
    .regex(/^[\x21-\x7e]*$/, "must be printable ASCII without spaces or line breaks")
    .default(""),
  /** Sent with every request; Azure takes its key as `api-key`. */
  headers: z.record(headerName, headerValue).default({}),
  /** Added to every address; Azure wants `api-version`. */
  query: z.record(z.string().min(1), z.string()).default({}),
  connect_timeout: duration.prefault("5s"),
  /** Until the first token (60 s), or until the whole answer where it does not come as a stream (10 minutes). */
  upstream_timeout: duration.optional(),
  /** Between two pieces of a stream. */
  idle_timeout: duration.prefault("60s"),
  /** Further attempts of a request that failed before its first token. */
  max_retries: z.int().min(0).max(16).default(2),
  /** Other models of this server, asked in turn when this one fails before its first token. */
  fallbacks: z.array(z.string().min(1)).max(16).default([]),
  /** An address is left alone for `cooldown` after so many failures in a row. */
  circuit_breaker: z
    .strictObject({
      failures: z.int().min(1).max(1000).default(5),
      cooldown: duration.prefault("10s"),
    })
    .prefault({}),
  /** Connections to one address at a time; one more request waits for one to become free. */
  connections: z.int().min(1).max(65_536).default(512),
  /** What the upstream calls the limit of a chat answer: OpenAI's reasoning models want the longer name. */
  max_tokens_field: z.enum(["max_tokens", "max_completion_tokens"]).default("max_tokens"),
  /** Asks for the usage of a stream with `stream_options`; turn it off where the upstream refuses that field. */
  stream_usage: z.boolean().default(true),
});

export type OpenaiOptions = z.output<typeof openaiOptions>;

/** What is waited for: the beginning of a stream, or all of an answer that comes at once. */
export type Awaited = "first token" | "answer";

/** A whole answer takes as long as a stream from its first token to its last, so it may take what OpenAI's SDKs allow. */
const DEFAULT_TIMEOUTS: Readonly<Record<Awaited, number>> = { "first token": 60_000, answer: 600_000 };

/** @returns milliseconds. */
export function timeoutFor(awaited: Awaited, { upstream_timeout }: OpenaiOptions): number {
  return upstream_timeout ?? DEFAULT_TIMEOUTS[awaited];
}
