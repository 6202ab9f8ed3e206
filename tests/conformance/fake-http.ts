/** A small V2 server over node:http that keeps the rules, and breaks the one it is told to break. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { parseJson, stringifyJson } from "../../src/conformance/json.ts";
import { type ExtensionDefect, FakeExtensions } from "./fake-extensions.ts";
import { FAKE_INPUTS, FAKE_NAME, FAKE_OUTPUTS, type FakeTensor, identity, Refusal } from "./fake-model.ts";
import {
  checkRagged,
  InputReader,
  list,
  object,
  parameters,
  readBody,
  recoded,
  writeBinary,
} from "./fake-request.ts";

/** One rule broken. */
export type Defect =
  | "no-id"
  | "all-outputs"
  | "wraps"
  | "error-shape"
  | "server-error"
  | "stack-trace"
  | "left-over"
  | "json-output"
  | "loses-precision"
  | "advertises"
  | "mixes-answers"
  | "no-keep-alive"
  | ExtensionDefect;

interface Answer {
  readonly status: number;
  readonly json?: unknown;
  readonly binary?: Buffer;
  /** Instead of JSON, with its media type. */
  readonly text?: string;
  readonly type?: string;
}

const HEADER = "inference-header-content-length";
const ZERO = { count: 0, ns: 0 };
const DURATIONS = [
  "success",
  "fail",
  "queue",
  "compute_input",
  "compute_infer",
  "compute_output",
  "cache_hit",
  "cache_miss",
];

export class FakeHttp {
  readonly #defects: ReadonlySet<Defect>;
  readonly #extensions: FakeExtensions;
  #inferences = 0;
  #previous: FakeTensor[] | undefined;

  constructor(defects: readonly Defect[]) {
    this.#defects = new Set(defects);
    this.#extensions = new FakeExtensions(this.#defects);
  }

  #infer(body: Buffer, header: string | undefined): Answer {
    const length = header === undefined ? body.length : Number(header);
    if (!/^\d*$/.test(header ?? "") || length > body.length) throw new Refusal(400, `${HEADER}: ${header}`);
    const request = object(this.#parse(body.subarray(0, length).toString()));
    const asked = parameters(request);
    const reader = new InputReader(body.subarray(length));
    const inputs = list(request.inputs).map((input) => {
      checkRagged(input);
      return reader.read(input);
    });
    if (reader.rest !== 0 && !this.#defects.has("left-over")) throw new Refusal(400, "Bytes are left over");
    const outputs = this.#mixed(identity(inputs, this.#defects.has("wraps")));
    this.#inferences += 1;
    return this.#respond(request, this.#chosen(request, outputs), asked.binary_data_output === true);
  }

  #parse(text: string): unknown {
    try {
      return this.#defects.has("loses-precision") ? JSON.parse(text) : parseJson(text);
    } catch {
      throw new Refusal(400, "The body is not JSON");
    }
  }

  /** What a batcher does that hands out its rows wrongly. */
  #mixed(outputs: FakeTensor[]): FakeTensor[] {
    const answer = this.#defects.has("mixes-answers") ? (this.#previous ?? outputs) : outputs;
    this.#previous = outputs;
    return answer;
  }

  #chosen(request: Record<string, unknown>, outputs: FakeTensor[]): [FakeTensor, unknown][] {
    if (request.outputs === undefined) return outputs.map((output) => [output, undefined]);
    const asked = list(request.outputs).map((value): [FakeTensor, unknown] => {
      const found = outputs.find(({ name }) => name === object(value).name);
      if (!found) throw new Refusal(400, "An output is unknown");
      return [found, parameters(object(value)).binary_data];
    });
    return this.#defects.has("all-outputs") ? outputs.map((output) => [output, undefined]) : asked;
  }

  #respond(
    request: Record<string, unknown>,
    outputs: [FakeTensor, unknown][],
    binaryOutput: boolean,
  ): Answer {
    const binary: Buffer[] = [];
    const described = outputs.map(([output, asked]) => {
      const wanted = asked === undefined ? binaryOutput : asked === true;
      if (!wanted || this.#defects.has("json-output")) return recoded(output, "latin1", "utf8");
      const bytes = writeBinary(output);
      binary.push(bytes);
      return { ...output, data: undefined, parameters: { binary_data_size: bytes.length } };
    });
    const id = this.#defects.has("no-id") ? {} : { id: request.id };
    const json = { model_name: FAKE_NAME, model_version: "1", ...id, outputs: described };
    return binary.length > 0 ? { status: 200, json, binary: Buffer.concat(binary) } : { status: 200, json };
  }

  #statistics(): unknown {
    const durations = Object.fromEntries(DURATIONS.map((name) => [name, ZERO]));
    const success = { count: this.#inferences, ns: 1 };
    const counts = {
      last_inference: 1,
      inference_count: this.#inferences,
      execution_count: this.#inferences,
    };
    const stats = { ...counts, inference_stats: { ...durations, success }, batch_stats: [] };
    return { model_stats: [{ name: FAKE_NAME, version: "1", ...stats }] };
  }

  #get(path: string): unknown {
    const extensions = ["binary_tensor_data", "model_repository", "statistics", "model_configuration"];
    if (this.#defects.has("advertises")) extensions.push("logging");
    const metadata = {
      name: FAKE_NAME,
      versions: ["1"],
      platform: "fake",
      inputs: FAKE_INPUTS,
      outputs: FAKE_OUTPUTS,
    };
    const model = `/v2/models/${FAKE_NAME}`;
    const routes: Record<string, unknown> = {
      "/v2": { name: "fake", version: "1", extensions },
      "/v2/health/live": { live: true },
      "/v2/health/ready": { ready: true },
      "/v2/models/stats": this.#statistics(),
      [model]: metadata,
      [`${model}/ready`]: { ready: true },
      [`${model}/stats`]: this.#statistics(),
      [`${model}/config`]: { name: FAKE_NAME },
    };
    if (path === `${model}/ready` && !this.#extensions.loaded)
      throw new Refusal(400, "The model is not loaded");
    return routes[path] ?? this.#extensions.generator(path);
  }

  #jsonOrNothing(body: Buffer): unknown {
    return body.length > 0 && body[0] === 0x7b && body.at(-1) === 0x7d
      ? this.#parse(body.toString())
      : undefined;
  }

  #route(method: string, url: string, body: Buffer, request: IncomingMessage): Answer {
    const path = url.replace(/\/versions\/1(?=\/|$)/, "").replace(/(?<=.)\/$/, "");
    const found = this.#get(path);
    if (found !== undefined && method !== "GET" && method !== "HEAD")
      throw new Refusal(405, "Method not allowed");
    if (found !== undefined) return { status: 200, json: found };
    const extended = this.#extensions.post(path, this.#jsonOrNothing(body));
    if (extended) return { status: 200, ...extended };
    if (path !== `/v2/models/${FAKE_NAME}/infer`) throw new Refusal(404, "There is nothing here");
    if (!this.#extensions.loaded) throw new Refusal(400, "The model is not loaded");
    if (request.headers["content-type"] === "application/xml")
      throw new Refusal(415, "XML is not understood");
    return this.#infer(body, request.headers[HEADER] as string | undefined);
  }

  #refusal(error: unknown): Answer {
    const status = error instanceof Refusal ? error.status : 400;
    const message = this.#defects.has("stack-trace") ? String((error as Error).stack) : String(error);
    const json = this.#defects.has("error-shape") ? { detail: message } : { error: message };
    return { status: this.#defects.has("server-error") && status === 400 ? 500 : status, json };
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = request;
    const answer = await readBody(request)
      .then((body) => this.#route(method, url, body, request))
      .catch((error: unknown) => this.#refusal(error));
    if (this.#defects.has("no-keep-alive")) response.setHeader("connection", "close");
    send(response, answer, request.headers["accept-encoding"] === "gzip");
  }
}

function send(response: ServerResponse, answer: Answer, gzip: boolean): void {
  const { status, json, binary, text, type } = answer;
  const head = Buffer.from(text ?? stringifyJson(json));
  const body = binary ? Buffer.concat([head, binary]) : head;
  response.statusCode = status;
  response.setHeader("content-type", type ?? (binary ? "application/octet-stream" : "application/json"));
  if (binary) response.setHeader(HEADER, head.length);
  if (gzip) response.setHeader("content-encoding", "gzip");
  response.end(gzip ? gzipSync(body) : body);
}

/** A running fake; dispose to stop it. */
export async function startFakeHttp(...defects: Defect[]): Promise<AsyncDisposable & { url: string }> {
  const fake = new FakeHttp(defects);
  const server = createServer((request, response) => void fake.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
