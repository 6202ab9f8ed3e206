import ms, { type StringValue } from "ms";
import { z } from "zod";

const secret = z.string().regex(/^[\x20-\x7e]*$/, "must be printable ASCII without line breaks");

/** `parameters.extra.source` of a model in an MLflow registry. */
export const mlflowOptions = z
  .strictObject({
    /** Address of the MLflow server; MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI of the environment when absent. */
    registry: z.url({ protocol: /^https?$/, error: "must be an http address" }).optional(),
    /** Sent as a bearer token, to the registry only. */
    token: secret.default(""),
    /** For a server with basic authentication. */
    username: secret.default(""),
    password: secret.default(""),
    /** Options of the resolver that reads the artifacts, where they lie outside of MLflow: in S3, for example. */
    storage: z.record(z.string(), z.unknown()).default({}),
    /** Files fetched at a time. */
    parallel: z.int().min(1).max(64).default(6),
    max_files: z.int().min(1).default(10_000),
    /** Of one question to the registry. */
    timeout: z
      .string()
      .regex(/^[1-9]\d*(ms|s|m)$/, 'must be a duration such as "500ms" or "30s"')
      .transform((text) => ms(text as StringValue))
      .prefault("30s"),
  })
  .refine(({ token, username }) => token === "" || username === "", "token and username exclude each other");

export type MlflowOptions = z.infer<typeof mlflowOptions>;
