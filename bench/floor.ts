/**
 * The least a Node server can do for the same answer: bare node:http, JSON.parse, `session.run`,
 * JSON.stringify; and with the binary extension a view of the body's bytes, `session.run`, raw bytes back.
 * It checks nothing, has one model for each path and no batching. Usage: floor.ts MODELS_FOLDER
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { bytesOf, type FloorArray, type FloorModel, floatsOf, loadModels, run } from "./floor-models.ts";

interface V2Request {
  readonly inputs: readonly { readonly shape: readonly number[]; readonly data: readonly number[] }[];
}

async function answerJson(model: FloorModel, body: Buffer, response: ServerResponse): Promise<void> {
  const [input] = (JSON.parse(body.toString("utf8")) as V2Request).inputs;
  if (input === undefined) throw new Error("The request has no input");
  const results = await run(model, Float32Array.from(input.data), input.shape);
  const outputs = Object.entries(results).map(([name, { type, dims, data }]) => ({
    name,
    datatype: type,
    shape: dims,
    data: Array.from(data as FloorArray, Number),
  }));
  response.setHeader("content-type", "application/json").end(JSON.stringify({ outputs }));
}

async function answerBinary(model: FloorModel, tensor: Buffer, response: ServerResponse): Promise<void> {
  const data = floatsOf(tensor);
  const results = await run(model, data, [data.length / model.columns, model.columns]);
  const parts = Object.values(results).map(bytesOf);
  response.setHeader("content-type", "application/octet-stream").end(Buffer.concat(parts));
}

function handle(models: Map<string, FloorModel>, request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    const model = models.get(request.url ?? "");
    const offset = request.headers["inference-header-content-length"];
    if (model === undefined) response.writeHead(404).end();
    else if (offset === undefined) void answerJson(model, body, response);
    else void answerBinary(model, body.subarray(Number(offset)), response);
  });
}

const loaded = await loadModels(process.argv[2] ?? "model-settings");
const models = new Map([...loaded].map(([name, model]) => [`/v2/models/${name}/infer`, model]));
const server = createServer((request, response) => handle(models, request, response));
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ msg: "ready", http: `127.0.0.1:${port}` }));
});
process.on("SIGTERM", () => {
  server.close();
  server.closeAllConnections();
});
