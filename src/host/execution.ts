import type { Call, InferRequest, InferResponse, Tensor, TensorSpec } from "../contracts/index.ts";
import { encodeContent, selectOutputs } from "../v2/index.ts";
import { throwIfOver } from "./call.ts";
import { checkRequest } from "./check-request.ts";
import type { Generation } from "./generation.ts";
import type { ModelResponse } from "./types.ts";

/** The answers of a model that gives several to one request. */
export async function* answers(generation: Generation, request: InferRequest, call: Call) {
  const checked = checkRequest(generation.runtime, request);
  for await (const response of generation.runtime.inferStream!(checked, call)) {
    yield finish(generation, checked, response);
  }
}

/** Checks, runs and finishes one request; the times go into the model's statistics. */
export async function execute(
  generation: Generation,
  request: InferRequest,
  call: Call,
): Promise<ModelResponse> {
  const started = performance.now();
  const checked = checkRequest(generation.runtime, request);
  const prepared = performance.now();
  throwIfOver(call);
  const rows = rowsOf(checked, generation.runtime.inputs);
  const response = await cachedRun(generation, checked, rows, call);
  throwIfOver(call);
  const inferred = performance.now();
  const finished = finish(generation, checked, response);
  generation.statistics.computed({
    rows,
    inputMs: prepared - started,
    inferMs: inferred - prepared,
    outputMs: performance.now() - inferred,
  });
  return finished;
}

/** Kept, where the model's settings ask for that. */
async function cachedRun(generation: Generation, request: InferRequest, rows: number, call: Call) {
  if (generation.cache === undefined) return run(generation, request, rows, call);
  const started = performance.now();
  const { response, hit } = await generation.cache.answer(generation.id, request, call, (shared) =>
    run(generation, request, rows, shared),
  );
  generation.statistics.cached(hit, performance.now() - started);
  if (call.record !== undefined) call.record.cache = hit ? "hit" : "miss";
  return response;
}

/** Together with others where the model's settings say so. */
async function run(generation: Generation, request: InferRequest, rows: number, call: Call) {
  if (generation.batcher !== undefined) return generation.batcher.run(request, call);
  const started = performance.now();
  const response = await generation.runtime.infer(request, call);
  generation.statistics.ran(rows, performance.now() - started);
  return response;
}

function finish(generation: Generation, request: InferRequest, response: InferResponse): ModelResponse {
  const { name, version } = generation.spec;
  const selected = selectOutputs(response.outputs, request);
  return {
    modelName: name,
    modelVersion: version,
    id: request.id,
    parameters: response.parameters,
    outputs: encodeContent(selected, request, generation.runtime.outputs),
  };
}

/** Rows of a request: its first dimension where the model leaves that one open, else one. */
function rowsOf(request: InferRequest, specs: readonly TensorSpec[] | undefined): number {
  const first: Tensor | undefined = request.inputs[0];
  const open = specs?.[0]?.shape[0] === -1;
  return open ? (first?.shape[0] ?? 1) : 1;
}
