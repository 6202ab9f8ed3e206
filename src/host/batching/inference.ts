import type { InferRequest, InferResponse, Runtime } from "../../contracts/index.ts";
import type { ModelSettings } from "../../settings/model.ts";
import type { Statistics } from "../statistics.ts";
import { Batcher } from "./batcher.ts";
import { divide, hasRows, join, keyOf, rowsOf } from "./tensors.ts";

const MS_PER_SECOND = 1000;

/**
 * Joins the inference requests of a model whose settings ask for it (`max_batch_size` above 1); undefined for one that
 * cannot: it has no rows, or is a language model, which joins its answers token by token itself.
 */
export function inferenceBatcher(
  runtime: Runtime,
  { max_batch_size, max_batch_time }: ModelSettings,
  statistics: Statistics,
): Batcher<InferRequest, InferResponse> | undefined {
  if (max_batch_size < 2 || runtime.llm !== undefined) return undefined;
  if (!hasRows(runtime.inputs) || !hasRows(runtime.outputs)) return undefined;
  const work = {
    rows: rowsOf,
    key: keyOf,
    join,
    divide,
    run: (request: InferRequest, call: Parameters<Runtime["infer"]>[1]) => runtime.infer(request, call),
    taken: (waiting: number) => statistics.batchQueues.observe(waiting),
    ran: (rows: number, ms: number) => statistics.ran(rows, ms),
  };
  const maxWaitMs = max_batch_time * MS_PER_SECOND;
  return new Batcher(work, { maxRows: max_batch_size, maxWaitMs, concurrency: runtime.concurrency ?? 1 });
}
