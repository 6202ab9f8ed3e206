import { z } from "zod";

/** Options of a Hugging Face folder in ONNX, as written in `parameters.extra`. */
export const transformersOptions = z.strictObject({
  /** Which of the folder's files is taken: `model.onnx`, `model_q4.onnx`, ... Absent: the only one, else fp32. */
  dtype: z.enum(["fp32", "fp16", "int8", "uint8", "q8", "q4", "q4f16", "bnb4"]).optional(),
  device: z.enum(["auto", "cpu", "cuda", "webgpu"]).default("cpu"),
  /** Threads of one step. */
  threads: z.int().min(1).max(1024).default(1),
  /** A Jinja template, in place of the folder's own. */
  chat_template: z.string().min(1).optional(),
  /** Of embeddings: how the vectors of the tokens become one. Absent: as the folder says, else mean. */
  pooling: z.enum(["mean", "cls"]).optional(),
  /** Of embeddings: scaled to length 1. */
  normalize: z.boolean().default(true),
});

export type TransformersOptions = z.output<typeof transformersOptions>;
