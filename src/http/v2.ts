import { CapstanError, type InferRequest } from "../contracts/index.ts";
import { withSession } from "../host/session-parameter.ts";
import { checkModelName, decodeInferRequest, encodeInferResponse } from "../v2/index.ts";
import { readBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { inferHeaders } from "./language-model.ts";
import { type Route, versioned } from "./route.ts";
import { sendBytes, sendJson } from "./send.ts";
import { sharedMemoryRoutes } from "./shared-memory.ts";

/** Server, model and inference routes of the V2 / Open Inference Protocol. */
export const v2Routes: Route[] = [
  { method: "GET", path: "/v2", handle: serverMetadata },
  { method: "GET", path: "/v2/models/stats", handle: allStatistics },
  ...versioned({ method: "GET", path: "/v2/models/:model", handle: modelMetadata }),
  ...versioned({ method: "GET", path: "/v2/models/:model/ready", handle: modelReady }),
  ...versioned({ method: "GET", path: "/v2/models/:model/config", handle: modelConfig }),
  ...versioned({ method: "GET", path: "/v2/models/:model/stats", handle: modelStatistics }),
  ...versioned({ method: "POST", path: "/v2/models/:model/infer", hot: true, handle: infer }),
  ...sharedMemoryRoutes,
];

const OCTETS = "application/octet-stream";
/** Of V2's binary tensor extension. */
export const HEADER_LENGTH = "inference-header-content-length";

function serverMetadata(x: Exchange): Promise<void> {
  return sendJson(x, 200, x.parts.plane.serverMetadata());
}

function modelMetadata(x: Exchange): Promise<void> {
  return sendJson(x, 200, x.parts.plane.modelMetadata(modelOf(x), x.params.version));
}

/** Ready is the status: 200, or 503 with the reason (V2 REST health). */
function modelReady(x: Exchange): Promise<void> {
  const [model, version] = [modelOf(x), x.params.version];
  if (x.parts.plane.modelReady(model, version)) return sendJson(x, 200, { name: model, ready: true });
  x.parts.plane.signature(model, version);
  throw new CapstanError("NOT_READY", `Model '${model}' is not ready`);
}

function modelConfig(x: Exchange): Promise<void> {
  return sendJson(x, 200, x.parts.plane.modelConfig(modelOf(x), x.params.version));
}

function modelStatistics(x: Exchange): Promise<void> {
  return statistics(x, x.parts.plane.statistics(modelOf(x), x.params.version));
}

/** Of the models that the caller may use. */
function allStatistics(x: Exchange): Promise<void> {
  const { plane, access } = x.parts;
  return statistics(
    x,
    plane.statistics().filter(({ name }) => access?.allows(x.principal, name) ?? true),
  );
}

async function infer(x: Exchange): Promise<void> {
  checkMediaType(x);
  x.parts.plane.signature(modelOf(x), x.params.version);
  return answerInfer(x, await readBody(x.request, x.parts.settings.max_body_bytes));
}

/** An inference request out of a body that was read. */
export function inferRequestOf(x: Exchange, body: Buffer): InferRequest {
  const signature = x.parts.plane.signature(modelOf(x), x.params.version);
  const request = decodeInferRequest(body, x.header(HEADER_LENGTH), signature);
  return withSession(request, x.sessionHeader);
}

/** Answers an inference request out of a body that was read. */
export async function answerInfer(x: Exchange, body: Buffer): Promise<void> {
  const [model, version] = [modelOf(x), x.params.version];
  const { plane } = x.parts;
  const request = inferRequestOf(x, body);
  const ownHeaders = inferHeaders(x, model, version);
  const response = await plane.infer(model, version, request, x.call(request.parameters));
  const encoded = encodeInferResponse(response, request);
  const headers: Record<string, string | number> = { ...ownHeaders(), "content-type": encoded.contentType };
  if (encoded.headerLength !== undefined) headers[HEADER_LENGTH] = encoded.headerLength;
  return sendBytes(x, 200, encoded.body, headers);
}

/**
 * The model a path names; a name that could reach outside the repository is refused.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function modelOf(x: Exchange): string {
  return checkModelName(x.params.model!, "model");
}

/** JSON, or octets with the length of the JSON in front. A request without a type is taken by its header. */
export function checkMediaType(x: Exchange): void {
  const headerLength = x.header(HEADER_LENGTH);
  const given = x.header("content-type");
  if (given === "application/json" || (given === OCTETS && headerLength !== undefined)) return;
  const type = given?.split(";", 1).join("").trim().toLowerCase();
  if (type === undefined || type === "application/json" || type.endsWith("+json")) return;
  if (type === OCTETS && headerLength !== undefined) return;
  const hint = type === OCTETS ? " without the header Inference-Header-Content-Length" : "";
  throw new CapstanError(
    "UNSUPPORTED_MEDIA",
    `Content-Type '${type}'${hint} is not served here: send application/json, or ${OCTETS} with that header`,
  );
}

/** Triton's statistics form: snake case, counts and nanoseconds. */
function statistics(
  x: Exchange,
  models: ReturnType<Exchange["parts"]["plane"]["statistics"]>,
): Promise<void> {
  const model_stats = models.map((model) => ({
    name: model.name,
    version: model.version,
    last_inference: model.lastInference,
    inference_count: model.inferenceCount,
    execution_count: model.executionCount,
    inference_stats: model.inferenceStats,
    batch_stats: model.batchStats.map((batch) => ({
      batch_size: batch.batchSize,
      compute_input: batch.computeInput,
      compute_infer: batch.computeInfer,
      compute_output: batch.computeOutput,
    })),
  }));
  return sendJson(x, 200, { model_stats });
}
