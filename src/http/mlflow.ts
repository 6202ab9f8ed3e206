import {
  CapstanError,
  type InferRequest,
  invalid,
  type Tensor,
  type TensorSpec,
} from "../contracts/index.ts";
import { UNSAFE_INTEGER } from "../v2/elements.ts";
import { parseJson, parseJsonExactly } from "../v2/json.ts";
import { readBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { parseCsv } from "./mlflow/csv.ts";
import { inputsOf } from "./mlflow/inputs.ts";
import { type Payload, readPayload } from "./mlflow/payload.ts";
import { writePredictions } from "./mlflow/predictions.ts";
import { type Route, versioned } from "./route.ts";
import { sendBytes, sendJson } from "./send.ts";
import { modelOf } from "./v2.ts";

/**
 * The protocol of MLflow's scoring server, for any model whose inputs are known: what is posted becomes tensors
 * by the model's metadata. It departs from MLflow where that answers with what is not JSON (NaN is null
 * here), flattens outputs (rows of a matrix stay lists), or casts values that do not fit (text to numbers, 1.5
 * to a long: refused here). Errors have this server's form, `{"error": ...}`, with MLflow's status.
 */
export const mlflowRoutes: Route[] = [
  { method: "GET", path: "/ping", untraced: true, handle: ping },
  { method: "GET", path: "/health", untraced: true, handle: health },
  { method: "GET", path: "/version", handle: version },
  { method: "POST", path: "/invocations", handle: (x) => invoke(x, soleModel(x)) },
  ...versioned({ method: "POST", path: "/models/:model/invocations", handle: (x) => invoke(x, modelOf(x)) }),
];

const JSON_TYPE = "application/json";
const CSV_TYPE = "text/csv";

/** MLflow answers with an empty line. */
function ping(x: Exchange): Promise<void> {
  if (!x.parts.plane.serverReady()) throw new CapstanError("NOT_READY", "The server is not ready");
  return sendBytes(x, 200, Buffer.from("\n"), { "content-type": JSON_TYPE });
}

/** Its clients read the status alone; others, such as those of LLM gateways, JSON. */
function health(x: Exchange): Promise<void> {
  if (!x.parts.plane.serverReady()) throw new CapstanError("NOT_READY", "The server is not ready");
  return sendJson(x, 200, { status: "ok" });
}

/** The version of this server, bare, where MLflow's has its own. */
function version(x: Exchange): Promise<void> {
  return sendBytes(x, 200, Buffer.from(x.parts.plane.serverMetadata().version), {
    "content-type": JSON_TYPE,
  });
}

/** @throws CapstanError INVALID_ARGUMENT unless the repository has exactly one model. */
function soleModel(x: Exchange): string {
  const names = [...new Set(x.parts.repository.index().map(({ name }) => name))].sort();
  if (names.length === 1) return names[0]!;
  const have = names.length === 0 ? "no model" : `the models ${names.join(", ")}`;
  throw invalid(`This server has ${have}: POST to /models/NAME/invocations with the name of one`);
}

async function invoke(x: Exchange, model: string): Promise<void> {
  const type = mediaType(x.header("content-type"));
  const { version } = x.params;
  const { inputs } = x.parts.plane.modelMetadata(model, version);
  if (inputs.length === 0)
    throw invalid(`The inputs of model '${model}' are not known: name them in its settings`);
  const body = await readBody(x.request, x.parts.settings.max_body_bytes);
  const { payload, request } = decode(type, body, inputs);
  const response = await x.parts.plane.infer(model, version, request, x.call());
  return sendBytes(x, 200, Buffer.from(writePredictions(response, payload.kind)), {
    "content-type": JSON_TYPE,
  });
}

interface Decoded {
  readonly payload: Payload;
  readonly request: InferRequest;
}

/** Integers beyond 2^53 are read again with all their digits. */
function decode(type: string, body: Buffer, specs: readonly TensorSpec[]): Decoded {
  if (type === CSV_TYPE) return request(parseCsv(body), specs);
  try {
    return request(readPayload(parseJson(body)), specs);
  } catch (thrown) {
    if (thrown !== UNSAFE_INTEGER) throw thrown;
    return request(readPayload(parseJsonExactly(body)), specs);
  }
}

function request(payload: Payload, specs: readonly TensorSpec[]): Decoded {
  const inputs: Tensor[] = inputsOf(payload, specs);
  return { payload, request: { parameters: payload.params, inputs } };
}

/** @throws CapstanError UNSUPPORTED_MEDIA, as MLflow answers 415. */
function mediaType(header = JSON_TYPE): string {
  const [type = "", ...parameters] = header.split(";").map((part) => part.trim().toLowerCase());
  const foreign = parameters.find((parameter) => parameter !== "" && !/^charset="?utf-8"?$/.test(parameter));
  if (foreign !== undefined)
    throw unsupported(`Content-Type has '${foreign}': only charset=utf-8 is understood`);
  if (type === JSON_TYPE || type === CSV_TYPE) return type;
  throw unsupported(`Content-Type '${type}' is not served here: send ${JSON_TYPE} or ${CSV_TYPE}`);
}

const unsupported = (message: string) => new CapstanError("UNSUPPORTED_MEDIA", message);
