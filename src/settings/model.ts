import { z } from "zod";
import { DATATYPE_BYTES, type Datatype } from "../contracts/index.ts";
import { decimal, durationText, flag, integer } from "./fields.ts";
import { memorySettings } from "./server.ts";

const scalar = z.union([z.string(), z.number(), z.boolean()]);

const tensor = z.strictObject({
  name: z.string().min(1),
  datatype: z.enum(Object.keys(DATATYPE_BYTES) as [Datatype, ...Datatype[]]),
  shape: z.array(integer(-1)).describe("-1 is a dimension of any size."),
  optional: flag().optional().describe("An input that may be left out of a request."),
  parameters: z.record(z.string(), scalar).optional().describe("Metadata, such as content_type."),
  tags: z.record(z.string(), z.unknown()).optional(),
});

/** An empty list stands for "not given", as in files that MLServer wrote. */
const signature = () => z.array(tensor).transform((tensors) => (tensors.length === 0 ? undefined : tensors));

/** Where an artifact comes from; keys not listed here are the resolver's. */
const source = z
  .looseObject({
    registry: z.string().optional().describe("Address of the model registry."),
    token: z.string().optional().describe("Credential for the registry; take it from the environment."),
    poll: durationText().optional().describe("Time between looks at the registry."),
    trust_code: flag().optional().describe("Lets code that came from the registry run."),
  })
  .describe("Where parameters.uri is resolved.");

const admission = z
  .strictObject({
    max_concurrency: integer(1).describe("Requests the model works on at once."),
    max_queue: integer(0).prefault(100).describe("Requests that may wait; one more is refused with 429."),
    timeout: durationText().default("0").describe('Longest wait; "0" is as long as the caller waits.'),
  })
  .describe("How many requests a model takes at once.");

const canary = z
  .strictObject({
    alias: z.string().min(1).describe("The alias of the version that is tried."),
    weight: z.coerce.number().min(0).max(100).describe("Per cent of the requests that it gets."),
    max_error_rate: z.coerce
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe("How much more of its requests may fail than of the other's."),
    max_latency_ratio: z.coerce
      .number()
      .positive()
      .optional()
      .describe("How many times the other's mean duration it may take."),
    min_requests: integer(1).prefault(20).describe("Before either limit counts."),
  })
  .describe("A second version that gets a share of the requests.");

/** The keys of `parameters.extra` that are the host's own; all others are the plugin's. */
export const hostExtraSchema = z.strictObject({
  source: source.optional(),
  reload: z
    .enum(["swap", "recreate"])
    .optional()
    .describe("Whether the old version serves until the new one is loaded, or is removed first."),
  admission: admission.optional(),
  memory: z
    .union([z.string().min(1), memorySettings])
    .optional()
    .describe("Remembers conversations: a name of the server's memories, or one of its own."),
  canary: canary.optional(),
  isolation: z
    .enum(["none", "thread", "process"])
    .optional()
    .describe("Where the model runs: with the server, on a thread, or in a process that can be killed."),
  workers: integer(0).optional().describe("Threads the model runs on; 0 runs it with the server."),
});

const parameters = z.strictObject({
  uri: z
    .string()
    .min(1)
    .optional()
    .describe("The artifact: a path from this folder, or a uri with a scheme."),
  version: z
    .preprocess((version) => (typeof version === "number" ? String(version) : version), z.string())
    .optional(),
  format: z.string().optional(),
  content_type: z.string().optional(),
  environment_tarball: z.string().optional(),
  environment_path: z.string().optional(),
  inference_pool_gid: z.string().optional(),
  autogenerate_inference_pool_gid: flag().optional(),
  extra: z
    .looseObject(hostExtraSchema.shape)
    .prefault({})
    .describe("Options of the runtime and of its adapter."),
});

/**
 * model-settings.json: MLServer's fields. Its output is valid input again and gives the same output.
 * `framework` at the top level moves into `parameters.extra`.
 */
export const modelSettingsSchema = z
  .strictObject({
    $schema: z.string().optional(),
    name: z.string().default("").describe('"" is the name of the folder.'),
    implementation: z
      .string()
      .min(1)
      .describe("A runtime: its name, a ./file.ts beside this file, or an npm package."),
    platform: z.string().optional(),
    versions: z.array(z.string()).optional().describe("Libraries the model was made with; kept as metadata."),
    inputs: signature().optional(),
    outputs: signature().optional(),
    max_batch_size: integer(0).prefault(0).describe("Rows joined into one run; 0 and 1 turn batching off."),
    max_batch_time: decimal(0).prefault(0).describe("Seconds."),
    cache_enabled: flag().optional(),
    framework: z.string().optional().describe('Adapter of the "llm" implementation.'),
    parameters: parameters.prefault({}),
  })
  .transform(({ $schema: _, framework, ...settings }, context) => {
    if (framework === undefined) return settings;
    const { extra } = settings.parameters;
    if (extra.framework !== undefined && extra.framework !== framework) {
      const message = `is "${framework}" here and "${String(extra.framework)}" in parameters.extra; keep one`;
      context.addIssue({ code: "custom", path: ["framework"], message });
    }
    return { ...settings, parameters: { ...settings.parameters, extra: { ...extra, framework } } };
  });

export type ModelSettings = z.infer<typeof modelSettingsSchema>;
