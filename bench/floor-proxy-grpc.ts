/** The least a Node proxy can do over gRPC: messages go on as bytes. Usage: floor-proxy-grpc.ts HOST:PORT */
import { Client, credentials, type sendUnaryData } from "@grpc/grpc-js";
import { GRPCInferenceService } from "../src/grpc/generated/services.ts";
import { listenBare, type UnaryCall } from "./floor-server.ts";

const options = { "grpc.enable_channelz": 0 };
const upstream = new Client(process.argv[2]!, credentials.createInsecure(), options);
const bytes = (message: Buffer): Buffer => message;
const { path } = GRPCInferenceService.ModelInfer;

function forward({ request, metadata }: UnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void {
  upstream.makeUnaryRequest(path, bytes, bytes, request, metadata, respond);
}

await listenBare((server) => {
  server.register(path, forward, bytes, bytes, "unary");
});
