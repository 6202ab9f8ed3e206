import ms, { type StringValue } from "ms";
import { z } from "zod";
import { samplingSchema } from "./sampling.ts";

/** Timers of Node end at 2^31 - 1 ms; a longer one would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** Text such as "30s" or "10m"; milliseconds once parsed. */
const duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, 'must be a time with its unit, such as "30s" or "10m"')
  .transform((text) => ms(text as StringValue))
  .refine((value) => value >= 1 && value <= LONGEST_MS, "must be from 1ms to 24d");

/** What `parameters.extra` may say about any language model; all other keys are the adapter's. */
export const llmOptions = z
  .looseObject({
    /** The adapter: its name, a ./file.ts beside the settings, or an npm package. */
    framework: z.string().min(1),
    /** For requests that do not say. */
    sampling: samplingSchema.default({}),
    /** The most tokens a request may ask for, and the default where there is none. */
    max_output: z.int().min(1).optional(),
    /** Loads at the first request: faults in the adapter's options and in the artifact show then. */
    lazy: z.boolean().default(false),
    /** Frees the model when it was not used for so long; the next request loads it again. */
    idle_unload: duration.optional(),
  })
  .refine(({ sampling, max_output = Number.POSITIVE_INFINITY }) => (sampling.max_tokens ?? 0) <= max_output, {
    path: ["sampling", "max_tokens"],
    message: "is more than max_output",
  });

export type LlmOptions = z.output<typeof llmOptions>;

/** Names of the runtime's own options. */
export const OWN_KEYS: ReadonlySet<string> = new Set(Object.keys(llmOptions.shape));
