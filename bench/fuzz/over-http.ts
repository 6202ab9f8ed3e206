import { type Dispatcher, Pool } from "undici";
import { encodeBody } from "../body.ts";
import { generator, mutated } from "./mutations.ts";

interface Seed {
  readonly path: string;
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

const json = (path: string, value: object): Seed => ({ path, body: Buffer.from(JSON.stringify(value)) });

const chat = { model: "echo", messages: [{ role: "user", content: "hello there" }], max_tokens: 8 };
const tensor = { name: "X", datatype: "FP32", shape: [1, 4], data: [5.1, 3.5, 1.4, 0.2] };
const binary = encodeBody({
  name: "",
  model: "iris",
  rows: 2,
  columns: 4,
  encoding: "binary",
  connections: 1,
});

/** A request that is answered well, for each route that takes one and changes nothing. */
const SEEDS: readonly Seed[] = [
  json("/v2/models/iris/infer", { id: "1", inputs: [tensor], outputs: [{ name: "label" }] }),
  { path: "/v2/models/iris/infer", headers: binary.headers, body: binary.bytes },
  json("/v2/models/echo/generate", { text_input: "hello there", parameters: { max_tokens: 8 } }),
  json("/v2/models/echo/generate_stream", { text_input: "hello there", max_tokens: 8 }),
  json("/v1/chat/completions", { ...chat, temperature: 0.5, stop: ["!"], n: 1 }),
  json("/v1/chat/completions", { ...chat, stream: true, stream_options: { include_usage: true } }),
  json("/v1/completions", { model: "echo", prompt: ["hello", "there"], max_tokens: 8 }),
  json("/v1/embeddings", { model: "echo", input: "hello" }),
  json("/v1/responses", { model: "echo", input: "hello", max_output_tokens: 8 }),
  json("/v1/generate", { prompt: "hello", max_tokens: 8 }),
  json("/v1/stream", { prompt: "hello", max_tokens: 8 }),
  json("/v2/repository/index", { ready: true }),
  { path: "/v2/models/iris", method: "GET" },
  { path: "/v2/models/iris/versions/1/config", method: "GET" },
  { path: "/v2/models/echo/stream?prompt=hello&max_tokens=8", method: "GET" },
];

const HEADERS: readonly Readonly<Record<string, string>>[] = [
  ...[
    { "content-type": "text/plain" },
    { "content-type": "application/octet-stream" },
    { accept: "*/*;q=x" },
  ],
  ...["-1", "7", "99999999999", "x"].map((length) => ({ "inference-header-content-length": length })),
  ...["gzip", "deflate", "br"].map((coding) => ({ "content-encoding": coding })),
  ...["0", "-5", "1e400"].map((timeout) => ({ "x-request-timeout-ms": timeout })),
  ...["\u00e9".repeat(300), "a b"].map((id) => ({ "x-request-id": id, "x-session-id": id })),
];

/** Sends `count` faulty requests and gives how often each status came. */
export async function fuzzHttp(address: string, count: number, connections: number, seed: number) {
  const pool = new Pool(`http://${address}`, { connections, headersTimeout: 20_000, bodyTimeout: 20_000 });
  const statuses = new Map<number, number>();
  const random = generator(seed);
  let left = count;
  const connection = async () => {
    while (left-- > 0) {
      const status = await send(pool, requestOf(random));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
  await pool.destroy();
  return statuses;
}

function requestOf(random: () => number): Dispatcher.RequestOptions {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const { path, method = "POST", body, headers } = pick(SEEDS);
  const own = headers ?? (body && { "content-type": "application/json" });
  return {
    method,
    path: random() < 0.1 ? pathOf(mutated(Buffer.from(path), random)) : path,
    headers: { ...own, ...(random() < 0.15 ? pick(HEADERS) : {}) },
    ...(body && { body: random() < 0.9 ? mutated(body, random) : body }),
  };
}

/** What a request line can carry at all. */
function pathOf(bytes: Buffer): string {
  return `/${bytes.toString("latin1").replace(/^\/|[^!-~]/g, "")}`;
}

/** The status of the answer; 0 for a connection that broke, or an answer that did not end. */
async function send(pool: Pool, options: Dispatcher.RequestOptions): Promise<number> {
  try {
    const { statusCode, body } = await pool.request(options);
    await body.dump({ limit: Number.MAX_SAFE_INTEGER });
    return statusCode;
  } catch {
    return 0;
  }
}
