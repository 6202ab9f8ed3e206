import { isUtf8 } from "node:buffer";
import { parseJson } from "../../src/conformance/json.ts";
import type { Datatype } from "../../src/contracts/index.ts";
import type { TestServer } from "../support/server.ts";
import type { Answer, Ask, Refusal } from "./asks.ts";
import { bytesOf, type Seen, seen, seenRaw, type TestTensor, type Value } from "./tensors.ts";

const inferPath = ({ model, version }: Ask) =>
  `/v2/models/${encodeURIComponent(model)}${version ? `/versions/${version}` : ""}/infer`;

export async function overJson(server: TestServer, ask: Ask): Promise<Answer | Refusal> {
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

export async function overBinary(server: TestServer, ask: Ask): Promise<Answer | Refusal> {
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
