import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService, LLMService } from "../../src/grpc/generated/services.ts";
import type { InferenceLogTable } from "../../src/store/tables.ts";
import { ADMIN, modelsForKeys, TestAccess } from "../support/access.ts";
import { eventually } from "../support/eventually.ts";
import { TestClient } from "../support/grpc.ts";
import { type LlmServer, serveLlms } from "../support/scripted-llm.ts";
import { IRIS_ROW, type TestRepository, type TestServer } from "../support/server.ts";

const JSON_TYPE = { "content-type": "application/json" };
const text = [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["a b"] }];
const user = (content: string) => [{ role: "user", content }];

/** Gives the rows since it was asked last, once there are so many: and no more. */
function rowsOf(server: TestServer, headers: Readonly<Record<string, string>> = {}) {
  let seen = 0;
  const read = async () => {
    const response = await server.request("/admin/log?limit=1000", { headers });
    return ((await response.json()) as { log: InferenceLogTable[] }).log;
  };
  return async (count: number) => {
    await eventually(async () => (await read()).length >= seen + count);
    const all = await read();
    const rows = all.slice(0, all.length - seen);
    seen = all.length;
    expect(rows).toHaveLength(count);
    return rows;
  };
}

describe("without access control", () => {
  let served: LlmServer;
  let client: TestClient;
  let rows: (count: number) => Promise<InferenceLogTable[]>;
  beforeAll(async () => {
    served = await serveLlms({
      inference_log: { enabled: true, bodies: true },
      auth: { database_url: "sqlite::memory:" },
      completion_cache: { store: "memory" },
    });
    await served.repository.addSample("iris");
    await served.server.post("/v2/repository/models/iris/load");
    client = new TestClient(`127.0.0.1:${served.server.running.grpc.port}`);
    rows = rowsOf(served.server);
  });
  afterAll(async () => {
    client.close();
    await served[Symbol.asyncDispose]();
  });

  const whole = async (path: string, body: object) => {
    const response = await served.server.request(path, {
      ...{ method: "POST", headers: JSON_TYPE, body: JSON.stringify(body) },
    });
    await response.arrayBuffer();
    return response.status;
  };

  it("names the trace that the caller belongs to", async () => {
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { ...JSON_TYPE, traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const body = JSON.stringify(IRIS_ROW);
    await served.server.request("/v2/models/iris/infer", { method: "POST", headers, body });
    expect(await rows(1)).toMatchObject([{ trace_id: traceId, model: "iris" }]);
  });

  it.each([
    ["/v2/models/iris/infer", IRIS_ROW, { model: "iris", operation: "infer", output_tokens: null }],
    [
      "/v2/models/echo/infer",
      { inputs: text, parameters: { session_id: "s" } },
      { operation: "infer", session: "s" },
    ],
    ["/v2/models/echo/generate", { text_input: "a b" }, { operation: "chat", output_tokens: 3 }],
    ["/v2/models/echo/generate_stream", { text_input: "a b" }, { operation: "chat", finish: "stop" }],
    ["/v1/chat/completions", { model: "echo", messages: user("a b") }, { input_tokens: 2, output_tokens: 3 }],
    ["/v1/chat/completions", { model: "echo", messages: user("a b"), stream: true }, { finish: "stop" }],
    ["/v1/completions", { model: "echo", prompt: "a b" }, { request_body: "a b" }],
    ["/v1/responses", { model: "echo", input: "a b" }, { operation: "chat", output_tokens: 3 }],
    [
      "/v1/responses",
      { model: "echo", input: "a b", background: true },
      { operation: "chat", output_tokens: 3 },
    ],
    ["/v1/responses", { model: "echo", input: "a b", stream: true }, { operation: "chat", output_tokens: 3 }],
    ["/v1/embeddings", { model: "scripted", input: ["x", "y"] }, { operation: "embed", model: "scripted" }],
    ["/v1/generate", { model: "echo", prompt: "a b" }, { operation: "chat", output_tokens: 3 }],
    [
      "/v1/stream",
      { model: "echo", prompt: "a b" },
      { operation: "chat", first_token_ms: expect.any(Number) },
    ],
    ["/v1/images/generations", { model: "scripted" }, { operation: "images/generations", status: "ok" }],
    ["/v2/models/echo/kickoff", { inputs: { topic: "a" } }, { operation: "chat", finish: "stop" }],
  ])("%s writes one row", async (path, body, row) => {
    expect(await whole(path, body)).toBeLessThan(300);
    const [written] = await rows(1);
    expect(written).toMatchObject({ status: "ok", error_code: null, version: expect.any(String), ...row });
  });

  it.each([false, true])(
    "several prompts write one row, with the tokens of all (stream: %s)",
    async (stream) => {
      await whole("/v1/completions", { model: "echo", prompt: ["a b", "c"], stream });
      const [written] = await rows(1);
      const body = { request_body: "a b\nc", response_body: "Echo: a b\nEcho: c" };
      expect(written).toMatchObject({ status: "ok", output_tokens: 5, ...(stream ? body : {}) });
    },
  );

  it("a kept answer says so", async () => {
    const ask = (content: string) =>
      whole("/v1/chat/completions", { model: "echo", messages: user(content), temperature: 0 });
    await ask("kept");
    await ask("kept");
    expect((await rows(2)).map(({ cached, status }) => `${status} ${cached}`).sort()).toEqual([
      "ok 0",
      "ok 1",
    ]);
  });

  it("calls of gRPC write one row, and a stream one for each message", async () => {
    const infer = {
      ...{ modelName: "echo", parameters: { session_id: { stringParam: "s" } } },
      inputs: [
        {
          name: "text_input",
          datatype: "BYTES",
          shape: [1],
          contents: { bytesContents: [Buffer.from("a")] },
        },
      ],
    };
    await client.unary(GRPCInferenceService.ModelInfer, infer);
    expect(await rows(1)).toMatchObject([{ operation: "infer", session: "s", output_tokens: 2 }]);
    await client.stream(GRPCInferenceService.ModelStreamInfer, [infer, infer]);
    expect(await rows(2)).toMatchObject([1, 2].map(() => ({ model: "echo", session: "s", status: "ok" })));
    await client.unary(LLMService.ChatCompletion, { model: "echo", prompt: "a b" });
    expect(await rows(1)).toMatchObject([{ operation: "chat", output_tokens: 3, finish: "stop" }]);
  });

  it("what fails says how", async () => {
    await whole("/v1/chat/completions", { model: "scripted", messages: user("breaks") });
    await whole("/v1/chat/completions", { model: "scripted", messages: user("burst"), stream: true });
    await whole("/v1/images/generations", { model: "echo" });
    await whole("/v1/images/generations", { model: "scripted", stream: true, breaks: true });
    const bad = { inputs: [{ ...IRIS_ROW.inputs[0]!, name: "Y" }] };
    await whole("/v2/models/iris/infer", bad);
    const written = (await rows(5)).map(({ status, error_code }) => `${status} ${error_code}`);
    expect(written.sort()).toEqual([
      "error INTERNAL",
      "error INVALID_ARGUMENT",
      "error UNSUPPORTED",
      "error UPSTREAM",
      "error UPSTREAM",
    ]);
  });

  it("a deadline and a caller who leaves are told apart", async () => {
    const ask = (content: string, more: object, signal?: AbortSignal) =>
      served.server.request("/v1/chat/completions", {
        ...{ method: "POST", headers: { ...JSON_TYPE, "x-request-timeout-ms": "150" } },
        ...{
          body: JSON.stringify({ model: "scripted", messages: user(content), ...more }),
          signal: signal ?? null,
        },
      });
    await (await ask("forever", { stream: true })).text();
    await (await ask("silent", {})).text();
    const leaving = new AbortController();
    const response = await ask("forever", { stream: true }, leaving.signal);
    await response.body!.getReader().read();
    leaving.abort();
    const written = (await rows(3)).map(({ status, error_code }) => `${status} ${error_code}`);
    expect(written.sort()).toEqual([
      "cancelled CANCELLED",
      "error DEADLINE_EXCEEDED",
      "error DEADLINE_EXCEEDED",
    ]);
  });

  it("a model that is not there, and what nobody can read, write none", async () => {
    const messages = user("x");
    expect(await whole("/v2/models/ghost/infer", IRIS_ROW)).toBe(404);
    expect(await whole("/v2/models/ghost/generate", { text_input: "x" })).toBe(404);
    expect(await whole("/v1/chat/completions", { model: "ghost", messages })).toBe(404);
    expect(await whole("/v1/chat/completions", { model: "echo", messages: 1 })).toBe(400);
    await client.unary(GRPCInferenceService.ModelInfer, { modelName: "ghost" });
    await client.stream(GRPCInferenceService.ModelStreamInfer, [{ modelName: "ghost" }]);
    await client.unary(LLMService.ChatCompletion, { model: "ghost", prompt: "x" });
    expect(await rows(0)).toEqual([]);
  });
});

describe("with access control", () => {
  let repository: TestRepository;
  let access: TestAccess;
  let rows: (count: number) => Promise<InferenceLogTable[]>;
  beforeAll(async () => {
    repository = await modelsForKeys();
    const settings = { inference_log: { enabled: true } };
    access = await TestAccess.start(repository.root, `sqlite:${repository.path("log.db")}`, settings);
    rows = rowsOf(access.server, { authorization: `Bearer ${ADMIN}` });
  });
  afterAll(async () => {
    await access[Symbol.asyncDispose]();
    await repository[Symbol.asyncDispose]();
  });

  it("rows say whose they are, refusals for limits as well; who may not ask for a model at all leaves none", async () => {
    const { key, id } = await access.keyWith({ requestsPerMinute: 1, models: ["echo", "ghost*"] });
    const statuses: number[] = [];
    for (const each of [key, key, "cap_0123456789ab_nobody"]) statuses.push((await access.chat(each)).status);
    statuses.push((await access.chat(key, { model: "slow" })).status);
    statuses.push((await access.post(key, "/v2/models/iris/infer", IRIS_ROW)).status);
    statuses.push((await access.post(key, "/v2/models/ghost-1/infer", IRIS_ROW)).status);
    const written = await rows(2);
    expect(statuses).toEqual([200, 429, 401, 403, 403, 404]);
    expect(written.map(({ model, error_code }) => `${model} ${error_code}`).sort()).toEqual([
      "echo RATE_LIMITED",
      "echo null",
    ]);
    expect(new Set(written.map(({ key_id }) => key_id))).toEqual(new Set([id]));
  });
});
