/** Samples as gRPC messages, and answers read back. */
import type { Datatype } from "../contracts/index.ts";
import type { inference } from "../grpc/generated/inference.js";
import { GRPCInferenceService } from "../grpc/generated/services.ts";
import { contentValues, decodeBinary, encodeBinary, typedContents } from "./binary.ts";
import { expect } from "./expect.ts";
import type { GrpcReply } from "./grpc-client.ts";
import type { JsonTensor, Value } from "./samples.ts";
import type { Session } from "./session.ts";

export type InferInit = inference.ModelInferRequest.Init;
type Tensor = inference.ModelInferRequest.InferInputTensor.Init;

export function header({ name, datatype, shape }: JsonTensor): Tensor {
  return { name, datatype, shape: [...shape] };
}

export function rawRequest(model: string, inputs: readonly JsonTensor[], extra: InferInit = {}): InferInit {
  const rawInputContents = inputs.map(({ datatype, data }) => encodeBinary(datatype, data));
  return { modelName: model, inputs: inputs.map(header), rawInputContents, ...extra };
}

export function typedRequest(model: string, inputs: readonly JsonTensor[], extra: InferInit = {}): InferInit {
  const tensors = inputs.map((input) => ({ ...header(input), contents: typedContents(input) ?? null }));
  return { modelName: model, inputs: tensors, ...extra };
}

export function modelInfer(
  session: Session,
  request: InferInit,
): Promise<GrpcReply<inference.ModelInferResponse>> {
  return session.grpc.unary(GRPCInferenceService.ModelInfer, request);
}

/** Elements of an output, whether it came raw or typed. @throws CheckFailure where it is not there. */
export function grpcValues(response: inference.ModelInferResponse, name: string): Value[] {
  const index = response.outputs.findIndex((output) => output.name === name);
  const output = response.outputs[index];
  expect(output, `the response has no output '${name}'`);
  const raw = response.rawOutputContents[index];
  if (raw) return decodeBinary(output.datatype as Datatype, raw);
  expect(output.contents, `output '${name}' has neither contents nor raw contents`);
  return contentValues(output.contents);
}
