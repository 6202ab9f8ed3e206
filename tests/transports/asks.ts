import { isUtf8 } from "node:buffer";
import { contentValues, encodeBinary, typedContents } from "../../src/conformance/binary.ts";
import { parseJson } from "../../src/conformance/json.ts";
import type { JsonTensor } from "../../src/conformance/samples.ts";
import { type Datatype, ERROR_TABLE, type ErrorCode } from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import { type Reply, TestClient } from "../support/grpc.ts";
import { serve, type TestServer } from "../support/server.ts";
import { bytesOf, type Seen, seen, seenRaw, type TestTensor, type Value } from "./tensors.ts";

/** One inference request, whatever it travels by. */
export interface Ask {
  readonly model: string;
  readonly version?: string;
  readonly id?: string;
  readonly parameters?: Readonly<Record<string, string | number | boolean>>;
  readonly inputs: readonly TestTensor[];
  readonly outputs?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly model: string;
  readonly version: string;
  readonly id: string | undefined;
  readonly outputs: readonly Seen[];
}

/** A refusal: its HTTP status or its gRPC code, whether that is the one of the table, and the message. */
export interface Refusal {
  readonly number: number;
  readonly message: string;
  /** When to come back, as the transport says it. */
  readonly retry: string | undefined;
}

export interface Transport {
  readonly name: string;
  readonly kind: "http" | "grpc";
  /** Whether tensors of this datatype have a form here. */
  takes(datatype: Datatype): boolean;
  infer(ask: Ask): Promise<Answer | Refusal>;
}

/** A server with every transport in front of it. */
export interface Transports extends AsyncDisposable {
  readonly server: TestServer;
  readonly grpc: TestClient;
  readonly all: readonly Transport[];
}

export async function serveTransports(
  root: string,
  settings: Record<string, unknown> = {},
): Promise<Transports> {
  const server = await serve(root, settings);
  const grpc = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
  const any = () => true;
  const all: Transport[] = [
    { name: "HTTP JSON", kind: "http", takes: any, infer: (ask) => overJson(server, ask) },
    { name: "HTTP binary", kind: "http", takes: any, infer: (ask) => overBinary(server, ask) },
    { name: "gRPC typed", kind: "grpc", takes: hasContents, infer: (ask) => overGrpc(grpc, ask, false) },
    { name: "gRPC raw", kind: "grpc", takes: any, infer: (ask) => overGrpc(grpc, ask, true) },
  ];
  return {
    server,
    grpc,
    all,
    async [Symbol.asyncDispose]() {
      grpc.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** V2 has no typed contents for these. */
const hasContents = (datatype: Datatype) => datatype !== "FP16" && datatype !== "BF16";

/** The number a transport has for an error. */
export const numberOf = (transport: Transport, code: ErrorCode): number => ERROR_TABLE[code][transport.kind];

const inferPath = ({ model, version }: Ask) =>
  `/v2/models/${encodeURIComponent(model)}${version ? `/versions/${version}` : ""}/infer`;

async function overJson(server: TestServer, ask: Ask): Promise<Answer | Refusal> {
  const body = `{"inputs":[${ask.inputs.map(jsonInput).join()}]${requestFields(ask)}}`;
  const headers = { "content-type": "application/json", ...ask.headers };
  return readHttp(await server.request(inferPath(ask), { method: "POST", headers, body }));
}

/** Numbers with all their digits, and what JSON has no number for as text. */
function jsonInput({ name, datatype, shape, data }: TestTensor): string {
  const isBinary = datatype === "BYTES" && !(data as readonly Buffer[]).every((each) => isUtf8(each));
  const elements = data.map((value) => jsonValue(value, isBinary));
  const parameters = isBinary ? { content_type: "base64" } : undefined;
  return `${JSON.stringify({ name, datatype, shape, parameters }).slice(0, -1)},"data":[${elements}]}`;
}

function jsonValue(value: Value, isBinary: boolean): string {
  if (Buffer.isBuffer(value)) return JSON.stringify(value.toString(isBinary ? "base64" : "utf8"));
  if (Object.is(value, -0)) return "-0";
  return typeof value === "number" && !Number.isFinite(value) ? `"${value}"` : String(value);
}

function requestFields({ id, parameters, outputs }: Ask): string {
  const fields = { id, parameters, outputs: outputs?.map((name) => ({ name })) };
  const text = JSON.stringify(fields).slice(1, -1);
  return text && `,${text}`;
}

async function overBinary(server: TestServer, ask: Ask): Promise<Answer | Refusal> {
  const chunks = ask.inputs.map(({ datatype, data }) => bytesOf(datatype, data));
  const inputs = ask.inputs.map(({ name, datatype, shape }, index) => ({
    ...{ name, datatype, shape },
    parameters: { binary_data_size: chunks[index]!.length },
  }));
  const parameters = { ...ask.parameters, binary_data_output: true };
  const head = Buffer.from(`{"inputs":${JSON.stringify(inputs)}${requestFields({ ...ask, parameters })}}`);
  const headers = {
    "content-type": "application/octet-stream",
    "inference-header-content-length": String(head.length),
    ...ask.headers,
  };
  const body = Buffer.concat([head, ...chunks]);
  return readHttp(await server.request(inferPath(ask), { method: "POST", headers, body }));
}

interface HttpOutput {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: number[];
  readonly data?: readonly unknown[];
  readonly parameters?: { readonly binary_data_size?: number; readonly content_type?: string };
}

async function readHttp(response: Response): Promise<Answer | Refusal> {
  const body = Buffer.from(await response.arrayBuffer());
  let offset = Number(response.headers.get("inference-header-content-length") ?? body.length);
  const json = parseJson(body.subarray(0, offset).toString()) as Record<string, unknown>;
  if (!response.ok) {
    const retry = response.headers.get("retry-after") ?? undefined;
    return { number: response.status, message: json.error as string, retry };
  }
  const outputs = (json.outputs as HttpOutput[]).map((output) => {
    const size = output.parameters?.binary_data_size;
    if (size === undefined) return seenJson(output);
    offset += size;
    return seenRaw(output, body.subarray(offset - size, offset));
  });
  const { model_name: model, model_version: version, id } = json;
  return { model, version, id, outputs } as Answer;
}

function seenJson(output: HttpOutput): Seen {
  const { name, datatype, shape, data = [], parameters } = output;
  const isBinary = parameters?.content_type === "base64";
  const values = datatype === "BYTES" ? data.map((each) => elementOf(each, isBinary)) : data.map(numeric);
  return seen({ name, datatype, shape, data: values });
}

const elementOf = (value: unknown, isBinary: boolean) =>
  Buffer.from(value as string, isBinary ? "base64" : "utf8");
const numeric = (value: unknown) => (typeof value === "string" ? Number(value) : (value as Value));

async function overGrpc(client: TestClient, ask: Ask, raw: boolean): Promise<Answer | Refusal> {
  const message: inference.ModelInferRequest.Init = {
    modelName: ask.model,
    modelVersion: ask.version,
    id: ask.id,
    parameters: Object.fromEntries(Object.entries(ask.parameters ?? {}).map(grpcParameter)),
    inputs: ask.inputs.map((input) => ({
      name: input.name,
      datatype: input.datatype,
      shape: [...input.shape],
      contents: raw ? null : contentsOf(input),
    })),
    outputs: ask.outputs?.map((name) => ({ name })),
    rawInputContents: raw ? ask.inputs.map(({ datatype, data }) => bytesOf(datatype, data)) : [],
  };
  return readGrpc(await client.unary(service.ModelInfer, message, { headers: ask.headers }));
}

function grpcParameter([name, value]: [string, string | number | boolean]) {
  if (typeof value === "number") return [name, { int64Param: value }];
  return [name, typeof value === "string" ? { stringParam: value } : { boolParam: value }];
}

function contentsOf({ datatype, data, ...rest }: TestTensor): inference.InferTensorContents.Init {
  if (datatype === "BYTES") return { bytesContents: data as Buffer[] };
  return typedContents({ ...rest, datatype, data } as JsonTensor) ?? {};
}

function readGrpc(reply: Reply<inference.ModelInferResponse>): Answer | Refusal {
  const { code, details, response, metadata } = reply;
  if (code !== 0) {
    return {
      number: code,
      message: details,
      retry: metadata["grpc-retry-pushback-ms"] as string | undefined,
    };
  }
  const outputs = response.outputs.map((output, index) => {
    const bytes = response.rawOutputContents[index];
    return seenRaw(output, bytes ?? contentBytes(output));
  });
  const { modelName: model, modelVersion: version, id } = response;
  return { model, version, id: id || undefined, outputs };
}

function contentBytes({ datatype, contents }: inference.ModelInferResponse.InferOutputTensor): Buffer {
  if (contents === null) return Buffer.alloc(0);
  if (datatype === "BYTES")
    return bytesOf(
      "BYTES",
      contents.bytesContents.map((each) => Buffer.from(each)),
    );
  return encodeBinary(datatype as Datatype, contentValues(contents));
}
