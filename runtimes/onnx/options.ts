import { z } from "zod";

const threads = z.int().min(0).max(1024);

/** What `parameters.extra` may say about an ONNX model. */
export const onnxOptions = z.strictObject({
  /** Tried in this order. The package as npm installs it has `cpu` and `webgpu`. */
  execution_providers: z.array(z.string().min(1)).min(1).default(["cpu"]),
  /** Threads that share one operator; 0 means one for each core. */
  intra_op_threads: threads.default(1),
  /** Threads that run independent branches of the graph; above 1 the graph runs in parallel mode. */
  inter_op_threads: threads.default(1),
  graph_optimization: z.enum(["disabled", "basic", "extended", "layout", "all"]).default("all"),
});

export type OnnxOptions = z.output<typeof onnxOptions>;
