import ms, { type StringValue } from "ms";
import { z } from "zod";

const LONGEST_MS = 24 * 60 * 60 * 1000;

/** A duration such as "250ms", "60s" or "5m"; milliseconds once parsed. */
const duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h)$/, 'must be a duration such as "250ms", "60s" or "5m"')
  .transform((text) => ms(text as StringValue))
  .refine((value) => value >= 1 && value <= LONGEST_MS, "must be from 1ms to 24h");

const bytes = z.int().min(1);
const printable = z.string().regex(/^[\x20-\x7e]*$/, "must be printable ASCII without line breaks");
const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "is not a header name");

/** One file name, not a path. */
const filename = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^/\\\0]+$/, "must be a name without slashes")
  .refine((name) => name !== "." && name !== "..", "must be a name");

const GIB = 1024 ** 3;

/** `parameters.extra.source` of a model whose uri is http: or https:. */
export const httpOptions = z.strictObject({
  /** Sent as a bearer token, to the uri's own host only. */
  token: printable.default(""),
  /** Sent to the uri's own host only. */
  headers: z.record(headerName, printable).default({}),
  /** Of the downloaded file, in hexadecimal. The same as `#sha256=` in the uri. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, "must be 64 hexadecimal digits")
    .transform((digest) => digest.toLowerCase())
    .optional(),
  /** What the file is called, where the uri does not say. */
  filename: filename.optional(),
  /** Whether a .tar, .tar.gz, .tgz or .zip is unpacked. */
  unpack: z.boolean().default(true),
  /** Leading folders of an archive's paths that are left out. */
  strip_components: z.int().min(0).max(16).default(0),
  /** Whether addresses of this machine and of private networks may be asked. */
  allow_private: z.boolean().default(false),
  /** Of the file that is downloaded. */
  max_bytes: bytes.default(100 * GIB),
  /** Of everything in an archive. */
  max_unpacked_bytes: bytes.default(200 * GIB),
  max_entries: z.int().min(1).default(100_000),
  /** Unpacked bytes for each byte of the archive; a bomb has more. */
  max_ratio: z.int().min(1).default(200),
  max_redirects: z.int().min(0).max(20).default(5),
  connect_timeout: duration.prefault("10s"),
  /** Until the answer begins, and between two pieces of it. */
  idle_timeout: duration.prefault("60s"),
  /** Further attempts of a download that broke off; each goes on where the last one stopped. */
  max_retries: z.int().min(0).max(16).default(3),
});

export type HttpOptions = z.infer<typeof httpOptions>;
