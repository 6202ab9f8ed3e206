import { credentials, Client as GrpcClient } from "@grpc/grpc-js";
import { Pool } from "undici";
import { inference } from "../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../src/grpc/generated/services.ts";
import { encode } from "../src/grpc/wire.ts";
import { encodeBody } from "./body.ts";
import { isGrpc, type Scenario } from "./scenarios.ts";
import { inputTensor, inputValues } from "./values.ts";

/** Sends one scenario's request as often as asked, written once beforehand. */
export interface LoadClient {
  /** @throws Error when the answer is not a success. */
  send(): Promise<void>;
  close(): Promise<void>;
}

/** @param address `host:port`. */
export function openClient(address: string, scenario: Scenario): LoadClient {
  return isGrpc(scenario) ? openGrpc(address, scenario) : openHttp(address, scenario);
}

function openHttp(address: string, scenario: Scenario): LoadClient {
  const pool = new Pool(`http://${address}`, { connections: scenario.connections, pipelining: 1 });
  const { headers, bytes } = encodeBody(scenario);
  const path = `/v2/models/${scenario.model}/infer`;
  const send = async () => {
    const { statusCode, body } = await pool.request({ method: "POST", path, headers, body: bytes });
    if (statusCode !== 200) throw new Error(`POST ${path} answered ${statusCode}: ${await body.text()}`);
    await body.dump();
  };
  return { send, close: () => pool.close() };
}

/** As many as a few clients of one service would have; the requests under way are spread over them. */
const CHANNELS = 4;

function openGrpc(address: string, scenario: Scenario): LoadClient {
  const options = { "grpc.use_local_subchannel_pool": 1, "grpc.enable_channelz": 0 };
  const clients = Array.from(
    { length: CHANNELS },
    () => new GrpcClient(address, credentials.createInsecure(), options),
  );
  const message = encodeMessage(scenario);
  const bytes = (given: Buffer): Buffer => given;
  const { path } = GRPCInferenceService.ModelInfer;
  let turn = 0;
  const send = () =>
    new Promise<void>((resolve, reject) => {
      const client = clients[turn++ % CHANNELS]!;
      client.makeUnaryRequest(path, bytes, bytes, message, (error) => (error ? reject(error) : resolve()));
    });
  return { send, close: async () => clients.forEach((client) => void client.close()) };
}

function encodeMessage(scenario: Scenario): Buffer {
  const values = inputValues(scenario);
  const raw = scenario.encoding === "grpc-raw";
  const contents = raw ? undefined : { fp32Contents: values };
  return encode(inference.ModelInferRequest, {
    modelName: scenario.model,
    inputs: [{ ...inputTensor(scenario), contents }],
    rawInputContents: raw ? [new Uint8Array(values.buffer)] : undefined,
  });
}
