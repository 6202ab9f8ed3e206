import ms, { type StringValue } from "ms";
import { z } from "zod";

const secret = z.string().regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces");

/** `parameters.extra.source` of a model in a Unity Catalog. */
export const unityCatalogOptions = z
  .strictObject({
    /** Address of the workspace or server; DATABRICKS_HOST of the environment when absent. */
    registry: z.string().min(1).optional(),
    /** DATABRICKS_TOKEN when absent. */
    token: secret.optional(),
    /** A service principal (OAuth M2M), instead of a token; DATABRICKS_CLIENT_ID and _SECRET when absent. */
    client_id: secret.optional(),
    client_secret: secret.optional(),
    /**
     * How files are read: from the cloud's storage with temporary credentials, or through Databricks' Files API.
     * `auto` takes the Files API where the registry gives no credentials.
     */
    access: z.enum(["auto", "credentials", "files"]).default("auto"),
    /** Options for the cloud's storage, such as `endpoint` and `region` of S3. */
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
  .refine(
    ({ client_id, client_secret }) => (client_id === undefined) === (client_secret === undefined),
    "client_id and client_secret go together",
  )
  .refine(
    ({ token, client_id }) => token === undefined || client_id === undefined,
    "token and client_id exclude each other",
  );

export type UnityCatalogOptions = z.infer<typeof unityCatalogOptions>;
