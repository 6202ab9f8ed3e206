import { credentials, Client as GrpcClient } from "@grpc/grpc-js";
import { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { encode } from "../../src/grpc/wire.ts";
import type { ServerProcess } from "../server-process.ts";
import { startWithModels } from "../with-models.ts";

/** A model that takes its time without using the processor: what is measured is how it is waited for. */
export const WORK_MS = 20;
export const ADMISSION = { max_concurrency: 4, max_queue: 16 };
const MODEL = "slow";

const CODE = `
export const inputs = [{ name: "x", datatype: "FP32", shape: [1] }];
export const outputs = [{ name: "y", datatype: "FP32", shape: [1] }];
export default async () => {
  await new Promise((resolve) => setTimeout(resolve, ${WORK_MS}));
  return { outputs: [{ name: "y", data: [1] }] };
};
`;

/** A Capstan with the slow model alone. */
export function startSlow(admission?: typeof ADMISSION): Promise<ServerProcess> {
  const extra = { module: "./slow.ts", ...(admission && { admission }) };
  const settings = { implementation: "module", parameters: { version: "1", extra } };
  return startWithModels({ [MODEL]: settings }, { [`${MODEL}/slow.ts`]: CODE });
}

const INPUT = { name: "x", datatype: "FP32", shape: [1] };

/** One request of the slow model over HTTP. */
export const HTTP_REQUEST = {
  method: "POST",
  path: `/v2/models/${MODEL}/infer`,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ inputs: [{ ...INPUT, data: [1] }] }),
} as const;

const MESSAGE = encode(inference.ModelInferRequest, {
  modelName: MODEL,
  inputs: [{ ...INPUT, contents: { fp32Contents: [1] } }],
});

/** Sends the same request over gRPC. */
export function grpcSender(address: string) {
  const client = new GrpcClient(address, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_channelz": 0,
  });
  const bytes = (given: Buffer): Buffer => given;
  const { path } = GRPCInferenceService.ModelInfer;
  const send = () =>
    new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest(path, bytes, bytes, MESSAGE, (error) => (error ? reject(error) : resolve()));
    });
  return { send, close: () => client.close() };
}
