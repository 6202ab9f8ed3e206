import { z } from "zod";

/** Options of a GGUF model, as written in `parameters.extra`. */
export const llamaOptions = z.strictObject({
  /** How many answers are written at once; each keeps the tokens of its last conversation. */
  sequences: z.int().min(1).max(256).default(4),
  device: z.enum(["auto", "cpu", "cuda", "metal", "vulkan"]).default("auto"),
  /** Threads of one decoding step. */
  threads: z.int().min(1).max(1024).default(1),
  /** Tokens of one sequence, prompt and answer. Absent: as trained, and at most 8192. */
  context_size: z.int().min(16).optional(),
  /** Tokens decoded in one step, of all sequences together. */
  batch_size: z.int().min(1).max(65_536).default(512),
  /** Layers kept on the device. */
  gpu_layers: z.union([z.literal("auto"), z.int().min(0)]).default("auto"),
  /** A Jinja template, in place of the one in the file. */
  chat_template: z.string().min(1).optional(),
  /** Of embeddings: scaled to length 1. */
  normalize: z.boolean().default(true),
});

export type LlamaOptions = z.output<typeof llamaOptions>;

/** The longest context that is reserved without being asked for: memory grows with it. */
export const DEFAULT_CONTEXT = 8192;
