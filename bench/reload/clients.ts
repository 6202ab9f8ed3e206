import { credentials, Client as GrpcClient } from "@grpc/grpc-js";
import { Pool } from "undici";
import { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { encode } from "../../src/grpc/wire.ts";
import type { Ready } from "../server-process.ts";
import type { Model } from "./served.ts";

/** One way to ask, and the versions that the answer says it is of: one, unless it was put together wrongly. */
export interface Client {
  readonly kind: "HTTP" | "gRPC" | "stream";
  readonly model: Model;
  /** @throws Error when there is no whole answer. */
  ask(): Promise<readonly number[]>;
  close(): void;
}

const FLOWER = [6.3, 3.4, 5.6, 2.4];

export function httpClient(address: string): Client {
  const pool = new Pool(`http://${address}`, { connections: 1 });
  const path = "/v2/models/iris/infer";
  const inputs = [{ name: "X", shape: [1, 4], datatype: "FP32", data: FLOWER }];
  const body = JSON.stringify({ inputs });
  const ask = async () => {
    const { model_version } = JSON.parse(await post(pool, path, body)) as { model_version: string };
    return [Number(model_version)];
  };
  return { kind: "HTTP", model: "iris", ask, close: () => void pool.close() };
}

export function grpcClient(address: string): Client {
  const options = { "grpc.use_local_subchannel_pool": 1 };
  const client = new GrpcClient(address, credentials.createInsecure(), options);
  const contents = { fp32Contents: FLOWER };
  const message = { modelName: "iris", inputs: [{ name: "X", shape: [1n, 4n], datatype: "FP32", contents }] };
  const bytes = encode(inference.ModelInferRequest, message);
  const { path, responseDeserialize } = GRPCInferenceService.ModelInfer;
  const ask = () =>
    new Promise<readonly number[]>((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        (given: Buffer) => given,
        responseDeserialize,
        bytes,
        (error, answer) => (error ? reject(error) : resolve([Number(answer?.modelVersion)])),
      );
    });
  return { kind: "gRPC", model: "iris", ask, close: () => client.close() };
}

/** Tokens of a chat completion; the teller's each are the number of a version. */
export function streamClient(address: string): Client {
  const pool = new Pool(`http://${address}`, { connections: 1, bodyTimeout: 60_000 });
  const messages = [{ role: "user", content: "which version?" }];
  const body = JSON.stringify({ model: "teller", stream: true, messages });
  const ask = async () => {
    const text = await post(pool, "/v1/chat/completions", body);
    if (!text.includes("data: [DONE]")) throw new Error("a stream was cut off");
    return [...new Set([...text.matchAll(/"content":"(\d+) "/g)].map(([, version]) => Number(version)))];
  };
  return { kind: "stream", model: "teller", ask, close: () => void pool.close() };
}

async function post(pool: Pool, path: string, body: string): Promise<string> {
  const headers = { "content-type": "application/json" };
  const response = await pool.request({ method: "POST", path, headers, body });
  const text = await response.body.text();
  if (response.statusCode !== 200) throw new Error(`POST ${path} answered ${response.statusCode}: ${text}`);
  return text;
}

/** Half of them over HTTP, a quarter over gRPC, a quarter that read streams. */
export function openClients({ http, grpc }: Ready, count: number): Client[] {
  const kinds = [httpClient, grpcClient, httpClient, streamClient];
  return Array.from({ length: count }, (_, place) => {
    const open = kinds[place % kinds.length]!;
    return open(open === grpcClient ? (grpc ?? "") : http);
  });
}
