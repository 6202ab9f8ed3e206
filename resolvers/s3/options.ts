import ms, { type StringValue } from "ms";
import { z } from "zod";

const duration = (pattern: RegExp) =>
  z
    .string()
    .regex(pattern, 'must be a duration such as "250ms", "60s" or "5m"')
    .transform((text) => ms(text as StringValue))
    .refine((value) => value <= 24 * 60 * 60 * 1000, "must be at most 24h");

const timeout = duration(/^[1-9]\d*(ms|s|m|h)$/);
const secret = z
  .string()
  .min(1)
  .regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces");

/** `parameters.extra.source` of a model in S3 or in a store that speaks its protocol. */
export const s3Options = z
  .strictObject({
    /** Address of another store than Amazon's, such as http://minio:9000. */
    endpoint: z
      .url({ protocol: /^https?$/, error: "must be an http address, such as http://minio:9000" })
      .optional(),
    /** Where Amazon's own settings do not say (AWS_REGION, ~/.aws/config); us-east-1 at an endpoint. */
    region: z.string().min(1).optional(),
    /** Puts the bucket into the path, as most other stores want it; it is the default at an endpoint. */
    path_style: z.boolean().optional(),
    /** Absent: the usual chain of environment, profiles, web identity, container and instance roles. */
    access_key_id: secret.optional(),
    secret_access_key: secret.optional(),
    session_token: secret.optional(),
    /** Asks without credentials, as public buckets allow. */
    anonymous: z.boolean().default(false),
    /** A version is taken when no object in it is younger. */
    settle: duration(/^(0|\d+(ms|s|m))$/).prefault("2s"),
    /** Objects fetched at a time. */
    parallel: z.int().min(1).max(64).default(6),
    max_objects: z.int().min(1).default(100_000),
    max_bytes: z
      .int()
      .min(1)
      .default(200 * 1024 ** 3),
    connect_timeout: timeout.prefault("10s"),
    /** Longest silence in an answer. */
    idle_timeout: timeout.prefault("60s"),
    /** Further attempts of each request. */
    max_retries: z.int().min(0).max(16).default(3),
  })
  .refine(
    ({ access_key_id, secret_access_key }) =>
      (access_key_id === undefined) === (secret_access_key === undefined),
    "access_key_id and secret_access_key go together",
  );

export type S3Options = z.infer<typeof s3Options>;
