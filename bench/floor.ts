/**
 * The least a Node server can do for the same answer: bare node:http, JSON.parse, `session.run`,
 * JSON.stringify; and with the binary extension a view of the body's bytes, `session.run`, raw bytes back.
 * It checks nothing, has one model for each path and no batching. Usage: floor.ts MODELS_FOLDER
 */
import { glob } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";

interface V2Request {
  readonly inputs: readonly { readonly shape: readonly number[]; readonly data: readonly number[] }[];
}

/** Columns of the one FP32 input, for binary bodies, whose JSON header the floor does not read. */
interface Served {
  readonly session: InferenceSession;
  readonly columns: number;
}

async function loadModels(folder: string): Promise<Map<string, Served>> {
  const models = new Map<string, Served>();
  for await (const file of glob("*/model.onnx", { cwd: folder })) {
    const session = await InferenceSession.create(path.join(folder, file), {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
    });
    const input = session.inputMetadata[0];
    const columns = input?.isTensor ? Number(input.shape[1]) : 0;
    models.set(`/v2/models/${path.dirname(file)}/infer`, { session, columns });
  }
  return models;
}

function run({ session }: Served, data: Float32Array, shape: readonly number[]) {
  return session.run({ [session.inputNames[0] as string]: new Tensor("float32", data, shape) });
}

async function answerJson(served: Served, body: Buffer, response: ServerResponse): Promise<void> {
  const [input] = (JSON.parse(body.toString("utf8")) as V2Request).inputs;
  if (input === undefined) throw new Error("The request has no input");
  const results = await run(served, Float32Array.from(input.data), input.shape);
  const outputs = Object.entries(results).map(([name, { type, dims, data }]) => ({
    name,
    datatype: type,
    shape: dims,
    data: Array.from(data as Float32Array | BigInt64Array, Number),
  }));
  response.setHeader("content-type", "application/json").end(JSON.stringify({ outputs }));
}

async function answerBinary(served: Served, tensor: Buffer, response: ServerResponse): Promise<void> {
  const data = floats(tensor);
  const results = await run(served, data, [data.length / served.columns, served.columns]);
  const parts = Object.values(results).map((output) => {
    const array = output.data as Float32Array | BigInt64Array;
    return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  });
  response.setHeader("content-type", "application/octet-stream").end(Buffer.concat(parts));
}

/** A view where the bytes are aligned, else a copy. */
function floats(bytes: Buffer): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, bytes.byteLength / 4);
}

function handle(models: Map<string, Served>, request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    const served = models.get(request.url ?? "");
    const offset = request.headers["inference-header-content-length"];
    if (served === undefined) response.writeHead(404).end();
    else if (offset === undefined) void answerJson(served, body, response);
    else void answerBinary(served, body.subarray(Number(offset)), response);
  });
}

const models = await loadModels(process.argv[2] ?? "model-settings");
const server = createServer((request, response) => handle(models, request, response));
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ msg: "ready", http: `127.0.0.1:${port}` }));
});
process.on("SIGTERM", () => {
  server.close();
  server.closeAllConnections();
});
