import { afterAll, beforeAll, expect, it } from "vitest";
import { LLMService } from "../../src/grpc/generated/services.ts";
import { LLM_ROUTES } from "../../src/telemetry/llm-endpoints.ts";
import { eventually } from "../support/eventually.ts";
import { TestClient } from "../support/grpc.ts";
import { Scrape } from "../support/metrics.ts";
import { type LlmServer, serveLlms } from "../support/scripted-llm.ts";
import type { TestServer } from "../support/server.ts";

let llms: LlmServer;
let server: TestServer;
beforeAll(async () => {
  llms = await serveLlms();
  server = llms.server;
});
afterAll(() => llms[Symbol.asyncDispose]());

const scrape = () => Scrape.of(server.request);
const messages = (content: string) => [{ role: "user", content }];
const chat = (content: string, more: object = {}) => ({
  model: "scripted",
  messages: messages(content),
  ...more,
});

const post = (path: string, body: object, signal?: AbortSignal) =>
  server.request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });

/** What the work adds to a sample. */
async function added(work: () => Promise<unknown>) {
  const before = await scrape();
  await work();
  const after = await scrape();
  return (name: string, labels: Record<string, string> = {}) =>
    (after.value(name, labels) ?? 0) - (before.value(name, labels) ?? 0);
}

const OF_CHAT = { gen_ai_operation_name: "chat", gen_ai_request_model: "scripted" };

it("counts a streamed answer, its tokens and its first one", async () => {
  const more = await added(async () => {
    const response = await post("/v1/chat/completions", chat("slow", { stream: true }));
    expect(await response.text()).toContain("[DONE]");
  });
  expect(more("llm_gateway_requests_total", { status: "success" })).toBe(1);
  expect(more("llm_gateway_tokens_generated_total", { model: "scripted" })).toBe(2);
  expect(more("llm_gateway_generation_duration_seconds_count", { model: "scripted" })).toBe(1);
  const endpoint = "/v1/chat/completions";
  expect(more("llm_gateway_request_duration_seconds_count", { endpoint })).toBe(1);
  expect(more("gen_ai_server_request_duration_seconds_count", OF_CHAT)).toBe(1);
  expect(more("gen_ai_server_time_to_first_token_seconds_count", OF_CHAT)).toBe(1);
  expect(more("gen_ai_server_time_per_output_token_seconds_count", OF_CHAT)).toBe(1);
  expect(more("gen_ai_server_time_per_output_token_seconds_sum", OF_CHAT)).toBeGreaterThan(0.1);
  expect(more("gen_ai_client_token_usage_sum", { ...OF_CHAT, gen_ai_token_type: "input" })).toBe(3);
  expect(more("gen_ai_client_token_usage_sum", { ...OF_CHAT, gen_ai_token_type: "output" })).toBe(2);
  expect(more("capstan_overhead_seconds_count")).toBe(1);
});

it("has no time to the first token of an answer that was asked for as a whole", async () => {
  const more = await added(() => server.post("/v1/chat/completions", chat("slow")));
  expect(more("gen_ai_server_request_duration_seconds_count", OF_CHAT)).toBe(1);
  expect(more("gen_ai_server_time_to_first_token_seconds_count", OF_CHAT)).toBe(0);
});

it("counts several prompts of one request as one", async () => {
  const body = { model: "scripted", prompt: ["slow", "slow", "empty"] };
  const more = await added(() => server.post("/v1/completions", body));
  expect(more("llm_gateway_requests_total")).toBe(1);
  expect(more("llm_gateway_tokens_generated_total")).toBe(6);
  const of = { gen_ai_operation_name: "text_completion", gen_ai_token_type: "output" };
  expect(more("gen_ai_client_token_usage_sum", of)).toBe(6);
});

it("counts embeddings, routes of upstreams and V2 inference of a language model", async () => {
  const more = await added(async () => {
    await server.post("/v1/embeddings", { model: "scripted", input: ["a", "b"] });
    await server.post("/v1/images/generations", { model: "scripted", prompt: "a cat" });
    await server.post("/v2/models/scripted/infer", {
      inputs: [{ name: "prompt", shape: [1], datatype: "BYTES", data: ["slow"] }],
    });
  });
  expect(more("llm_gateway_requests_total", { status: "success" })).toBe(3);
  const read = { gen_ai_operation_name: "embeddings", gen_ai_token_type: "input" };
  expect(more("gen_ai_client_token_usage_sum", read)).toBe(2);
  for (const operation of ["embeddings", "passthrough", "generate_content"]) {
    const of = { gen_ai_operation_name: operation };
    expect(more("gen_ai_server_request_duration_seconds_count", of), operation).toBe(1);
  }
});

it("counts what fails, by code, and gives no series to a model that is not there", async () => {
  const more = await added(async () => {
    await server.post("/v1/chat/completions", chat("refuse"));
    await server.post("/v1/chat/completions", chat("breaks"));
    await server.post("/v1/chat/completions", { ...chat("x"), model: "made-up-by-a-caller" });
    await server.post("/v2/models/made-up-by-a-caller/infer", { inputs: [] });
  });
  expect(more("llm_gateway_errors_total", { model: "scripted", code: "RATE_LIMITED" })).toBe(1);
  expect(more("llm_gateway_errors_total", { model: "scripted", code: "UPSTREAM" })).toBe(1);
  expect(more("llm_gateway_requests_total", { status: "error" })).toBe(2);
  expect(more("gen_ai_server_request_duration_seconds_count", { error_type: "UPSTREAM" })).toBe(1);
  expect(more("llm_gateway_tokens_generated_total")).toBe(1);
  expect((await scrape()).text).not.toContain("made-up-by-a-caller");
});

it("counts what an upstream breaks off, and what a model cannot do", async () => {
  const more = await added(async () => {
    const body = { model: "scripted", prompt: "x", stream: true, breaks: true };
    await (await post("/v1/images/generations", body)).text().catch(() => undefined);
    await server.post("/v1/embeddings", { model: "echo", input: ["a"] });
    await server.post("/v1/images/generations", { model: "echo", prompt: "x" });
  });
  const of = (gen_ai_operation_name: string, error_type: string) =>
    more("gen_ai_server_request_duration_seconds_count", { gen_ai_operation_name, error_type });
  expect(of("embeddings", "UNSUPPORTED")).toBe(1);
  expect(of("passthrough", "UNSUPPORTED")).toBe(1);
  expect(of("passthrough", "UPSTREAM")).toBe(1);
  expect(more("llm_gateway_requests_total", { status: "success" })).toBe(0);
  expect(more("llm_gateway_requests_total")).toBe(3);
  expect((await scrape()).value("llm_gateway_active_requests")).toBe(0);
});

it("counts a stream of V2 inference responses", async () => {
  const inputs = [{ name: "prompt", shape: [1], datatype: "BYTES", data: ["slow"] }];
  const more = await added(async () => {
    const response = await post("/v2/models/scripted/generate_stream", { inputs });
    expect((await response.text()).match(/^data: /gm)?.length).toBeGreaterThan(1);
  });
  const of = { gen_ai_operation_name: "generate_content" };
  expect(more("gen_ai_server_request_duration_seconds_count", of)).toBe(1);
  expect(more("gen_ai_server_time_to_first_token_seconds_count", of)).toBe(1);
});

it("counts who leaves as cancelled, and what is under way", async () => {
  const before = await scrape();
  const leaving = new AbortController();
  const response = await post("/v1/chat/completions", chat("forever", { stream: true }), leaving.signal);
  const reader = response.body!.getReader();
  await reader.read();
  expect((await scrape()).value("llm_gateway_active_requests")).toBe(1);
  leaving.abort();
  await expect(reader.read()).rejects.toThrow();
  await eventually(async () => (await scrape()).value("llm_gateway_active_requests") === 0);
  const status = { status: "cancelled" };
  const cancelled = before.value("llm_gateway_requests_total", status)! + 1;
  expect((await scrape()).value("llm_gateway_requests_total", status)).toBe(cancelled);
});

it("counts the language models of gRPC as well", async () => {
  const client = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
  const more = await added(() => client.unary(LLMService.ChatCompletion, chat("slow")));
  client.close();
  expect(more("llm_gateway_requests_total", { status: "success" })).toBe(1);
  const endpoint = "/capstan.llm.v1.LLMService/ChatCompletion";
  expect(more("llm_gateway_request_duration_seconds_count", { endpoint })).toBe(1);
  const rpc = {
    grpc_service: "capstan.llm.v1.LLMService",
    grpc_method: "ChatCompletion",
    grpc_type: "UNARY",
  };
  expect(more("grpc_server_started_total", rpc)).toBe(1);
  expect(more("grpc_server_handled_total", { ...rpc, grpc_code: "OK" })).toBe(1);
  expect(more("grpc_server_handling_seconds_count", rpc)).toBe(1);
});

it("says which language models are loaded, and forgets those that were removed", async () => {
  const { body } = await server.post("/v1/chat/completions", {
    model: "echo",
    messages: messages("one two"),
  });
  const { completion_tokens } = (body as { usage: { completion_tokens: number } }).usage;
  const labels = { model: "echo", version: "7", implementation: "llm" };
  expect((await scrape()).value("llm_gateway_model_info", labels)).toBe(1);
  expect((await scrape()).value("llm_gateway_tokens_generated_total", { model: "echo" })).toBe(
    completion_tokens,
  );
  await llms.repository.remove("echo");
  await eventually(
    async () => (await scrape()).value("llm_gateway_model_info", { model: "echo" }) === undefined,
  );
  expect((await scrape()).value("llm_gateway_tokens_generated_total", { model: "echo" })).toBeUndefined();
});

it("knows the endpoints by templates that there are", async () => {
  const { paths } = (await server.get("/openapi.json")).body as { paths: object };
  const known = Object.keys(paths).map((path) => path.replaceAll(/\{(\w+)\}/g, ":$1"));
  const routes = [...LLM_ROUTES].map((route) => route.replace("/versions/:version", ""));
  expect(known).toEqual(expect.arrayContaining(routes));
});
