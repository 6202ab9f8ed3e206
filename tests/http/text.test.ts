import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataOf, type LlmServer, serveLlms } from "../support/scripted-llm.ts";
import { serve, type TestServer } from "../support/server.ts";

let served: LlmServer;
let server: TestServer;
beforeAll(async () => {
  served = await serveLlms({ default_model: "echo" });
  server = served.server;
});
afterAll(() => served[Symbol.asyncDispose]());

async function streamed(path: string, body: unknown) {
  const headers = { "content-type": "application/json" };
  const response = await server.request(path, { method: "POST", headers, body: JSON.stringify(body) });
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  return dataOf(await response.text());
}

const USAGE = { input_tokens: 2, output_tokens: 2 };

describe("/v1/generate", () => {
  it("continues a prompt", async () => {
    const { status, body } = await server.post("/v1/generate", {
      prompt: "a b",
      max_new_tokens: 2,
      top_k: null,
    });
    expect(status).toBe(200);
    expect(body).toEqual({
      model: "echo",
      model_version: "7",
      output: "Echo: a",
      generated_text: "a bEcho: a",
      prompt: "a b",
      cached: false,
      finish_reason: "length",
      usage: USAGE,
    });
  });

  it("takes the limit by OpenAI's name, too", async () => {
    const { body } = await server.post("/v1/generate", { prompt: "a b", max_tokens: 2 });
    expect(body).toMatchObject({ output: "Echo: a", finish_reason: "length" });
  });

  it("refuses what its model cannot do, and what has no place in its answer", async () => {
    const refused = (field: object) => server.post("/v1/generate", { model: "echo", prompt: "a", ...field });
    expect(await refused({ logprobs: 1 })).toMatchObject({
      status: 501,
      body: {
        error: {
          ...{ type: "invalid_request_error", code: "unsupported", param: "logprobs" },
          message: expect.stringContaining("'logprobs' has no effect with the adapter 'echo'"),
        },
      },
    });
    const format = { response_format: { type: "json_object" } };
    expect(await refused(format)).toMatchObject({
      status: 501,
      body: { error: { param: "response_format" } },
    });
    expect(await refused({ tools: [{}] })).toMatchObject({
      status: 400,
      body: { error: { param: "tools" } },
    });
    expect((await refused({ tools: [], logprobs: null, user: "me" })).status).toBe(200);
  });

  it("counts the prompt where the length is that of both", async () => {
    const { body } = await server.post("/v1/generate", { prompt: "a b", max_length: 4 });
    expect(body).toMatchObject({ output: "Echo: a", finish_reason: "length", usage: USAGE });
  });

  it("passes on what it does not know, and the session", async () => {
    const headers = { "content-type": "application/json", "x-session-id": "s" };
    const body = JSON.stringify({ model: "scripted", prompt: "seen", temperature: 1, do_sample: true });
    const response = await server.request("/v1/generate", { method: "POST", headers, body });
    expect(JSON.parse(((await response.json()) as { output: string }).output)).toEqual({
      prompt: "seen",
      sampling: { temperature: 1 },
      session: "s",
      extra: { do_sample: true },
    });
  });

  const faults: [string, object, string][] = [
    ["no prompt", {}, "prompt"],
    ["a prompt that is no text", { prompt: ["a"] }, "prompt"],
    ["a length that the prompt fills", { prompt: "a b c", max_length: 3 }, "max_length"],
    ["two lengths", { prompt: "a", max_length: 5, max_new_tokens: 2 }, "max_length"],
    ["several answers", { prompt: "a", n: 2 }, "n"],
    ["a limit out of range", { prompt: "a", max_new_tokens: 0 }, "max_new_tokens"],
    ["an unknown model", { prompt: "a", model: "nobody" }, "model"],
  ];
  it.each(faults)("refuses %s", async (_what, body, param) => {
    const answer = await server.post("/v1/generate", body);
    expect(answer.status).toBe(param === "model" ? 404 : 400);
    expect(answer.body).toMatchObject({
      error: { param, type: expect.any(String), message: expect.any(String) },
    });
  });
});

describe("the text stream", () => {
  it.each([
    ["/v1/stream", {}],
    ["/v1/generate", { stream: true }],
  ])("of %s %j has the tokens and the end", async (path, more) => {
    const events = await streamed(path, { prompt: "a", ...more });
    expect(events).toEqual([
      { token: "Echo:" },
      { token: " a" },
      { done: true, finish_reason: "stop", usage: { input_tokens: 1, output_tokens: 2 }, output: "Echo: a" },
    ]);
  });

  it("ends with an error that came after the first token", async () => {
    expect(await streamed("/v1/stream", { model: "scripted", prompt: "breaks" })).toEqual([
      { token: "one" },
      { error: expect.objectContaining({ message: "The upstream broke off", code: "upstream" }) },
    ]);
  });

  it("is refused with a status before the first token", async () => {
    const answer = await server.post("/v1/stream", { model: "scripted", prompt: "refuse" });
    expect(answer).toMatchObject({ status: 429, body: { error: { type: "rate_limit_error" } } });
  });
});

describe("health", () => {
  it.each(["/v1/health", "/readyz"])("%s is 200 once the models are loaded", async (path) => {
    expect(await server.get(path)).toEqual({
      status: 200,
      body: { status: "ok", models: ["echo", "scripted"] },
    });
  });

  it("is 503 while a model of the start is not loaded", async () => {
    await using broken = await serveLlms();
    await broken.repository.write("bad", {
      name: "bad",
      implementation: "onnx",
      parameters: { uri: "./no.onnx" },
    });
    await using other = await serve(broken.repository.root);
    expect((await other.get("/readyz")).status).toBe(503);
    expect(await other.get("/v1/health")).toMatchObject({
      status: 503,
      body: { error: { code: "not_ready" } },
    });
  });

  it("/v1/metrics is what Prometheus reads, unless metrics are off", async () => {
    const metrics = await (await server.request("/v1/metrics")).text();
    expect(metrics).toMatch(/model_infer_request_success_total\{model="echo",version="7"\}/);
    await using quiet = await serveLlms({ metrics_endpoint: null });
    expect((await quiet.server.get("/v1/metrics")).status).toBe(404);
  });
});
