import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Log } from "../../src/contracts/index.ts";
import { parseUpstream } from "../../src/gateway/address.ts";
import { type RunningGateway, startGateway } from "../../src/gateway/server.ts";
import { GRPCInferenceService, LLMService } from "../../src/grpc/generated/services.ts";
import { serverSettingsSchema } from "../../src/settings/server.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { startTracing } from "../../src/telemetry/start-tracing.ts";
import type { Tracing } from "../../src/telemetry/tracing.ts";
import { eventually } from "../support/eventually.ts";
import { TestClient } from "../support/grpc.ts";
import { openStream } from "../support/grpc-llm.ts";
import { chat, chunk, OpenaiUpstream, reply, stalls } from "../support/openai-upstream.ts";
import { OtlpCollector, type SeenSpan } from "../support/otlp.ts";
import { IRIS_ROW, serve, TestRepository, type TestServer } from "../support/server.ts";

const SECRET = "xyzzy-prompt";
const ANSWER = "plugh-answer";

let collector: OtlpCollector;
let tracing: Tracing | undefined;
let upstream: OpenaiUpstream;
let repository: TestRepository;
let server: TestServer;
let behind: TestServer;
let gateway: RunningGateway;
let client: TestClient;

const llm = (name: string, extra: object) => ({ name, implementation: "llm", parameters: { extra } });

beforeAll(async () => {
  const log = await createLog({ level: "silent", pretty: false });
  collector = await OtlpCollector.start();
  tracing = await startTracing(collector.env, { tracing_server: null }, log);
  upstream = await OpenaiUpstream.start();
  repository = await TestRepository.create();
  await repository.addSample("iris");
  behind = await serve(repository.root, {}, {}, tracing);
  const openai = { framework: "openai", base_url: upstream.origin, model: "served-name", max_retries: 0 };
  await repository.write("gpt", llm("gpt", { ...openai, admission: { max_concurrency: 1, max_queue: 4 } }));
  await repository.write("apart", llm("apart", { ...openai, isolation: "thread" }));
  await repository.write(
    "safe-apart",
    llm("safe-apart", { ...openai, fallbacks: ["echo"], isolation: "thread" }),
  );
  await repository.write("safe", llm("safe", { ...openai, fallbacks: ["echo"] }));
  await repository.write("echo", llm("echo", { framework: "echo" }));
  const remote = (name: string, uri: string) => {
    return { name, implementation: "remote", parameters: { uri, extra: { remote_model: "iris" } } };
  };
  await repository.write("far", remote("far", behind.url));
  await repository.write("far-grpc", remote("far-grpc", `grpc://127.0.0.1:${behind.running.grpc.port}`));
  server = await serve(repository.root, {}, {}, tracing);
  const address = `127.0.0.1:${server.running.grpc.port}`;
  const settings = serverSettingsSchema.parse({ http_port: 0 });
  gateway = await startGateway(settings, parseUpstream(address)!, log, tracing);
  client = new TestClient(address);
});

afterAll(async () => {
  client.close();
  await gateway.close();
  for (const part of [server, behind, tracing, upstream, repository, collector]) {
    await part?.[Symbol.asyncDispose]();
  }
});

/** A client's trace: its headers, and the ids in them. */
function clientTrace() {
  const [traceId, spanId] = [randomBytes(16).toString("hex"), randomBytes(8).toString("hex")];
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-01`, tracestate: "vendor=7" } };
}

function ask(path: string, body: unknown, headers: Record<string, string>): Promise<Response> {
  const sent = { "content-type": "application/json", ...headers };
  return server.request(path, { method: "POST", headers: sent, body: JSON.stringify(body) });
}

const question = { model: "gpt", messages: [{ role: "user", content: SECRET }] };

/** The spans in the order of their nesting, from the one whose parent is the client. */
function chainOf(spans: readonly SeenSpan[], from: string): SeenSpan[] {
  const next = spans.find((span) => span.parentSpanId === from);
  return next === undefined ? [] : [next, ...chainOf(spans, next.spanId)];
}

const namesOf = (spans: readonly SeenSpan[]) => spans.map(({ kind, name }) => `${kind} ${name}`);

describe("a trace", () => {
  it("goes from a browser through gateway, server and model to the upstream", async () => {
    upstream.answer = chat(ANSWER, " and more");
    upstream.requests.length = 0;
    const { traceId, spanId, headers } = clientTrace();
    const url = `http://127.0.0.1:${gateway.http.port}/v2/models/gpt/stream`;
    const body = JSON.stringify({ text_input: SECRET });
    const sent = { "content-type": "application/json", ...headers };
    const response = await fetch(url, { method: "POST", headers: sent, body });
    expect(await response.text()).toContain(ANSWER);
    const spans = chainOf(await collector.trace(traceId, 5), spanId);
    expect(namesOf(spans)).toEqual([
      "server POST /v2/models/:model/stream",
      "client inference.GRPCInferenceService/ModelStreamInfer",
      "server inference.GRPCInferenceService/ModelStreamInfer",
      "internal infer gpt",
      "client POST",
    ]);
    const seen = upstream.requests[0]!.headers;
    expect(seen.traceparent).toBe(`00-${traceId}-${spans[4]!.spanId}-01`);
    expect(seen.tracestate).toBe("vendor=7");
    expect(spans.map(({ failed }) => failed)).toEqual([false, false, false, false, false]);
    expect(spans[2]!.attributes).toMatchObject({ "rpc.system": "grpc", "rpc.grpc.status_code": 0 });
  });

  it("describes an HTTP request and its model", async () => {
    const { traceId, spanId, headers } = clientTrace();
    expect((await ask("/v2/models/iris/infer", IRIS_ROW, headers)).status).toBe(200);
    const [http, model] = chainOf(await collector.trace(traceId, 2), spanId);
    expect(http).toMatchObject({
      name: "POST /v2/models/:model/infer",
      kind: "server",
      attributes: {
        "http.request.method": "POST",
        "http.route": "/v2/models/:model/infer",
        "http.response.status_code": 200,
        "url.path": "/v2/models/iris/infer",
      },
      resource: { "service.name": "capstan" },
    });
    expect(model).toMatchObject({
      name: "infer iris",
      kind: "internal",
      attributes: { "capstan.model.name": "iris", "capstan.runtime": "onnx" },
    });
    expect(Object.keys(http!.resource)).not.toContain("process.command_args");
  });

  it("begins here where the caller has none", async () => {
    const before = collector.spans.length;
    expect((await ask("/v2/models/iris/infer", IRIS_ROW, {})).status).toBe(200);
    const root = await eventually(() => collector.spans.slice(before).find(({ kind }) => kind === "server"));
    expect(root.parentSpanId).toBeUndefined();
  });

  it("goes on to another server over HTTP and gRPC", async () => {
    for (const [name, kind] of [
      ["far", "client POST"],
      ["far-grpc", "client inference.GRPCInferenceService/ModelInfer"],
    ] as const) {
      const { traceId, spanId, headers } = clientTrace();
      expect((await ask(`/v2/models/${name}/infer`, IRIS_ROW, headers)).status).toBe(200);
      const last = await eventually(() =>
        collector.spans.find((span) => span.traceId === traceId && span.name === "infer iris"),
      );
      const spans = await collector.trace(traceId, 5);
      const chain = namesOf(chainOf(spans, spanId));
      expect(chain.slice(0, 2)).toEqual(["server POST /v2/models/:model/infer", `internal infer ${name}`]);
      expect(namesOf(spans)).toContain(kind);
      expect(last.traceId).toBe(traceId);
    }
  });
});

describe("a model inside another one's answer", () => {
  it("has a span of its own in the caller's", async () => {
    upstream.answer = reply(503, { error: { message: "busy" } });
    const { traceId, spanId, headers } = clientTrace();
    expect((await ask("/v1/chat/completions", { ...question, model: "safe" }, headers)).status).toBe(200);
    const spans = await collector.trace(traceId, 4);
    const outer = chainOf(spans, spanId)[1]!;
    const inner = spans.filter(({ parentSpanId }) => parentSpanId === outer.spanId);
    expect(namesOf(inner).toSorted()).toEqual(["client POST", "internal chat echo"]);
    expect(outer.failed).toBe(false);
  });

  it("has one as well where the other runs on a thread of its own", async () => {
    upstream.answer = reply(503, { error: { message: "busy" } });
    const { traceId, spanId, headers } = clientTrace();
    const asked = await ask("/v1/chat/completions", { ...question, model: "safe-apart" }, headers);
    expect(asked.status).toBe(200);
    const spans = await collector.trace(traceId, 3);
    const outer = chainOf(spans, spanId)[1]!;
    const inner = spans.filter(({ parentSpanId }) => parentSpanId === outer.spanId);
    expect(namesOf(inner)).toEqual(["internal chat echo"]);
  });

  it("passes the trace on from a thread of its own", async () => {
    upstream.answer = chat("well", " met");
    upstream.requests.length = 0;
    const { traceId, spanId, headers } = clientTrace();
    expect((await ask("/v1/chat/completions", { ...question, model: "apart" }, headers)).status).toBe(200);
    const [, model] = chainOf(await collector.trace(traceId, 2), spanId);
    expect(upstream.requests[0]!.headers.traceparent).toBe(`00-${traceId}-${model!.spanId}-01`);
  });
});

describe("a language model's span", () => {
  const tuned = { ...question, max_tokens: 9, temperature: 0.5, top_p: 0.25 };

  it.each([true, false])("has what GenAI conventions name, streamed: %s", async (stream) => {
    upstream.answer = chat(ANSWER, " and more");
    const { traceId, spanId, headers } = clientTrace();
    const response = await ask("/v1/chat/completions", { ...tuned, stream }, headers);
    expect(await response.text()).toContain(ANSWER);
    const spans = await collector.trace(traceId, 3);
    const model = chainOf(spans, spanId)[1]!;
    expect(model.name).toBe("chat gpt");
    expect(model.attributes).toMatchObject({
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "gpt",
      "gen_ai.response.model": "gpt",
      "gen_ai.request.max_tokens": 9,
      "gen_ai.request.temperature": 0.5,
      "gen_ai.request.top_p": 0.25,
      "gen_ai.usage.input_tokens": 7,
      "gen_ai.usage.output_tokens": 2,
      "gen_ai.response.finish_reasons": ["stop"],
    });
    expect(model.events.map(({ name }) => name).includes("gen_ai.first_token")).toBe(stream);
    expect(JSON.stringify(collector.spans)).not.toMatch(new RegExp(`${SECRET}|${ANSWER}`));
  });

  it("says how long the request waited for its turn", async () => {
    upstream.answer = chat("well", " met");
    const { traceId, spanId, headers } = clientTrace();
    await ask("/v1/chat/completions", question, headers);
    const model = chainOf(await collector.trace(traceId, 3), spanId)[1]!;
    const admitted = model.events.find(({ name }) => name === "capstan.admitted");
    expect(admitted?.attributes["capstan.queue.wait_ms"]).toBeTypeOf("number");
  });

  it("is there for vectors, and for what the upstream answers by itself", async () => {
    upstream.answer = chat();
    const vectors = clientTrace();
    await ask("/v1/embeddings", { model: "gpt", input: SECRET }, vectors.headers);
    const pictures = clientTrace();
    upstream.answer = reply(200, { data: [] });
    const response = await ask("/v1/images/generations", { model: "gpt", prompt: SECRET }, pictures.headers);
    expect(await response.json()).toEqual({ data: [] });
    const embedded = chainOf(await collector.trace(vectors.traceId, 3), vectors.spanId);
    expect(namesOf(embedded).slice(1)).toEqual(["internal embeddings gpt", "client POST"]);
    const drawn = chainOf(await collector.trace(pictures.traceId, 3), pictures.spanId);
    expect(namesOf(drawn).slice(1)).toEqual(["internal passthrough gpt", "client POST"]);
    expect(drawn.map(({ failed }) => failed)).toEqual([false, false, false]);
  });

  it("is there over gRPC", async () => {
    upstream.answer = chat("well", " met");
    const { traceId, spanId, headers } = clientTrace();
    const { ChatCompletion } = LLMService;
    const { messages } = question;
    const { code } = await client.unary(ChatCompletion, { model: "gpt", messages }, { headers });
    expect(code).toBe(0);
    expect(namesOf(chainOf(await collector.trace(traceId, 3), spanId))).toEqual([
      "server capstan.llm.v1.LLMService/ChatCompletion",
      "internal chat gpt",
      "client POST",
    ]);
  });

  it("ends when the client has left the stream", async () => {
    upstream.answer = stalls(chunk({ content: "one" }));
    const { traceId, spanId, headers } = clientTrace();
    const leaving = new AbortController();
    const sent = { "content-type": "application/json", ...headers };
    const body = JSON.stringify({ ...question, stream: true });
    const init = { method: "POST", headers: sent, body, signal: leaving.signal };
    const reader = (await server.request("/v1/chat/completions", init)).body!.getReader();
    await reader.read();
    leaving.abort();
    const spans = chainOf(await collector.trace(traceId, 3), spanId);
    expect(spans.map(({ attributes }) => attributes["error.type"])).toEqual(Array(3).fill("CANCELLED"));
  });
});

describe("a failure", () => {
  it("of the upstream is at every span, by our code", async () => {
    upstream.answer = reply(500, { error: { message: "the upstream fell over" } });
    const { traceId, spanId, headers } = clientTrace();
    expect((await ask("/v1/chat/completions", question, headers)).status).toBe(502);
    const spans = chainOf(await collector.trace(traceId, 3), spanId);
    expect(spans.map(({ failed }) => failed)).toEqual([true, true, true]);
    expect(spans.map(({ attributes }) => attributes["error.type"])).toEqual(["UPSTREAM", "UPSTREAM", "500"]);
  });

  it("of the caller is named, and no failure of the server", async () => {
    const { traceId, spanId, headers } = clientTrace();
    expect((await ask("/v2/models/nope/infer", IRIS_ROW, headers)).status).toBe(404);
    const over = clientTrace();
    const asked = { modelName: "nope", inputs: [] };
    const { code } = await client.unary(GRPCInferenceService.ModelInfer, asked, { headers: over.headers });
    expect(code).toBe(5);
    const [http] = chainOf(await collector.trace(traceId, 1), spanId);
    const [grpc] = chainOf(await collector.trace(over.traceId, 1), over.spanId);
    for (const span of [http, grpc]) {
      expect(span).toMatchObject({ failed: false, attributes: { "error.type": "NOT_FOUND" } });
    }
  });
});

describe("without a span", () => {
  it("are probes", async () => {
    const { traceId, headers } = clientTrace();
    await server.request("/v2/health/live", { headers });
    await client.unary(GRPCInferenceService.ServerReady, {}, { headers });
    const last = clientTrace();
    await ask("/v2/models/iris/infer", IRIS_ROW, last.headers);
    await collector.trace(last.traceId, 2);
    expect(collector.spans.filter((span) => span.traceId === traceId)).toEqual([]);
  });
});

describe("tracing that is off", () => {
  it("passes the client's context on as it came, over HTTP and gRPC", async () => {
    await using silent = await serve(repository.root);
    upstream.answer = chat("well", " met");
    upstream.requests.length = 0;
    const { headers } = clientTrace();
    const body = JSON.stringify(question);
    const sent = { "content-type": "application/json", ...headers };
    await silent.request("/v1/chat/completions", { method: "POST", headers: sent, body });
    const direct = new TestClient(`127.0.0.1:${silent.running.grpc.port}`);
    const { messages } = question;
    const { end } = openStream(direct, "ChatCompletionStream", { model: "gpt", messages }, {
      headers,
    } as object);
    expect((await end).code).toBe("OK");
    direct.close();
    const seen = upstream.requests.map(({ headers: { traceparent, tracestate } }) => ({
      traceparent,
      tracestate,
    }));
    expect(seen).toEqual([headers, headers]);
  });

  it.each([
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: "" },
    { OTEL_TRACES_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" },
    { OTEL_SDK_DISABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" },
  ])("is asked for with %j", async (env) => {
    const silent = {} as Log;
    expect(await startTracing(env, { tracing_server: null }, silent)).toBeUndefined();
  });
});
