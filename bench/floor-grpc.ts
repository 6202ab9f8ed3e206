/**
 * The least a Node server can do for the same answer over V2 gRPC: bare grpc-js, the generated messages,
 * `session.run`. It checks nothing and has no batching. Usage: floor-grpc.ts MODELS_FOLDER
 */
import type { sendUnaryData } from "@grpc/grpc-js";
import type { OnnxValue } from "onnxruntime-node";
import type { inference } from "../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../src/grpc/generated/services.ts";
import { bytesOf, type FloorModel, floatsOf, loadModels, run } from "./floor-models.ts";
import { listenBare, type UnaryCall } from "./floor-server.ts";

type Request = inference.ModelInferRequest;
type Answer = inference.ModelInferResponse.Init;

const DATATYPES: Readonly<Record<string, string>> = { float32: "FP32", int64: "INT64" };

function typedContents({ type, data }: OnnxValue): inference.InferTensorContents.Init {
  return type === "int64" ? { int64Contents: data as BigInt64Array } : { fp32Contents: data as Float32Array };
}

async function answer(model: FloorModel, request: Request): Promise<Answer> {
  const [input] = request.inputs;
  if (input === undefined) throw new Error("The request has no input");
  const [raw] = request.rawInputContents;
  const data = raw ? floatsOf(raw) : new Float32Array(input.contents!.fp32Contents);
  const results = Object.entries(await run(model, data, input.shape.map(Number)));
  return {
    modelName: request.modelName,
    outputs: results.map(([name, result]) => ({
      name,
      datatype: DATATYPES[result.type],
      shape: result.dims,
      contents: raw ? undefined : typedContents(result),
    })),
    rawOutputContents: raw ? results.map(([, result]) => bytesOf(result)) : undefined,
  };
}

const models = await loadModels(process.argv[2] ?? "model-settings");

function infer({ request }: UnaryCall<Request, Answer>, respond: sendUnaryData<Answer>): void {
  answer(models.get(request.modelName)!, request).then(
    (message) => respond(null, message),
    (error: Error) => respond(error),
  );
}

const { path, responseSerialize, requestDeserialize } = GRPCInferenceService.ModelInfer;
await listenBare((server) => {
  server.register(path, infer, responseSerialize, requestDeserialize, "unary");
});
