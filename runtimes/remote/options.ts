import ms, { type StringValue } from "ms";
import { z } from "zod";

const LONGEST_MS = 24 * 60 * 60 * 1000;

/** A duration such as "250ms", "60s" or "5m"; milliseconds once parsed. */
const duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h)$/, 'must be a duration such as "250ms", "60s" or "5m"')
  .transform((text) => ms(text as StringValue))
  .refine((value) => value >= 1 && value <= LONGEST_MS, "must be from 1ms to 24h");

/** RFC 9110, field names and values; `-bin` is gRPC's mark for bytes, which a settings file cannot hold. */
const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "is not a header name")
  .refine((name) => !OURS.has(name.toLowerCase()), "is set by the server itself")
  .refine((name) => !name.toLowerCase().endsWith("-bin"), "names ending in -bin hold bytes, not text");
const headerValue = z.string().regex(/^[\t\x20-\x7e]*$/, "must be printable ASCII");

const OURS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "content-type",
  "inference-header-content-length",
  "te",
  "transfer-encoding",
  "x-request-id",
  "x-request-timeout-ms",
]);

/** What `parameters.extra` may say about a model that another V2 server answers for. */
export const remoteOptions = z.strictObject({
  /** The model's name there; its name here when absent. */
  remote_model: z.string().min(1).optional(),
  /** The version to ask for; the other server picks one when absent. */
  remote_version: z.string().min(1).optional(),
  /** Further addresses that serve the same model, beside `parameters.uri`. */
  backends: z.array(z.string().min(1)).max(256).default([]),
  /** For one request, or for each next response of a stream. */
  timeout: duration.prefault("60s"),
  connect_timeout: duration.prefault("5s"),
  health_interval: duration.prefault("10s"),
  /** Further attempts when a request did not reach the model: no connection, or the answer 503. */
  retries: z.int().min(0).max(16).default(2),
  /** HTTP only: the binary tensor extension; "auto" uses it where the other server says it has it. */
  binary: z.union([z.literal("auto"), z.boolean()]).default("auto"),
  /** Sent with every request, as HTTP headers or gRPC metadata. */
  headers: z.record(headerName, headerValue).default({}),
  /** Files for https and grpcs, relative to the model's folder. */
  tls: z
    .strictObject({
      /** PEM certificates to trust instead of the system's. */
      ca: z.string().min(1).optional(),
      /** PEM certificate and key that this server shows. */
      cert: z.string().min(1).optional(),
      key: z.string().min(1).optional(),
      /** The name that must be in the other server's certificate, when it is not the address's. */
      server_name: z.string().min(1).optional(),
    })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), "cert and key go together")
    .optional(),
  /** HTTP only: connections to one address at a time. */
  connections: z.int().min(1).max(4096).default(64),
  /** gRPC only: pings on a connection in use. Servers close one that is pinged more often than they allow. */
  keepalive: duration.prefault("5m"),
  /** The largest answer that is read; what may be sent is the other server's own limit. */
  max_message_bytes: z
    .int()
    .min(1024)
    .max(2 ** 31 - 1)
    .default(64 * 1024 * 1024),
});

export type RemoteOptions = z.output<typeof remoteOptions>;
