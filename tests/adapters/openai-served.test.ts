import { describe, expect, it } from "vitest";
import { LLMService } from "../../src/grpc/generated/services.ts";
import { eventually } from "../support/eventually.ts";
import { TestClient } from "../support/grpc.ts";
import { openStream } from "../support/grpc-llm.ts";
import {
  chat,
  chunk,
  DONE,
  event,
  OpenaiUpstream,
  packets,
  reply,
  stalls,
} from "../support/openai-upstream.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

const ASK = { model: "gpt", messages: [{ role: "user", content: "hello" }], logprobs: true };

const V2 = { inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["hello"] }] };

/** A server with a model of the upstream, and `dummy-model` to fall back on. */
async function withUpstream(
  answer = chat("well", " met"),
  use: (server: TestServer, upstream: OpenaiUpstream) => unknown,
) {
  await using upstream = await OpenaiUpstream.start(answer);
  await using repository = await TestRepository.create();
  const openai = {
    framework: "openai",
    base_url: upstream.origin,
    model: "served-name",
    api_key: "${NO_SUCH_KEY:-}",
    upstream_timeout: "60s",
    max_retries: 0,
    fallbacks: ["dummy-model"],
  };
  const llm = (name: string, extra: object) => ({ name, implementation: "llm", parameters: { extra } });
  await repository.write("gpt", llm("gpt", openai));
  await repository.write("lazy", llm("lazy", { ...openai, lazy: true }));
  await repository.write("dummy-model", llm("dummy-model", { framework: "echo" }));
  await using server = await serve(repository.root);
  await use(server, upstream);
}

describe("a model of an upstream, over HTTP", () => {
  it("answers", () =>
    withUpstream(undefined, async (server, upstream) => {
      const { status, body } = await server.post("/v1/chat/completions", ASK);
      expect(status).toBe(200);
      expect(body).toMatchObject({ choices: [{ message: { content: "well met" } }] });
      expect(upstream.requests[0]!.body).toMatchObject({ model: "served-name", logprobs: true });
    }));

  it.each([
    ["/v1/chat/completions", { ...ASK, stream: true }, true],
    ["/v1/chat/completions", ASK, false],
    ["/v1/completions", { model: "gpt", prompt: "hello", stream: true }, true],
    ["/v1/completions", { model: "gpt", prompt: "hello" }, false],
    ["/v1/responses", { model: "gpt", input: "hello", stream: true }, true],
    ["/v1/responses", { model: "gpt", input: "hello" }, false],
    ["/v1/stream", { model: "gpt", prompt: "hello" }, true],
    ["/v1/generate", { model: "gpt", prompt: "hello" }, false],
    ["/v2/models/gpt/generate_stream", { text_input: "hello" }, true],
    ["/v2/models/gpt/generate", { text_input: "hello" }, false],
    ["/v2/models/gpt/infer_stream", V2, true],
    ["/v2/models/gpt/infer", V2, false],
    ["/v1/generate", { model: "lazy", prompt: "hello" }, false],
    ["/v2/models/lazy/infer", V2, false],
  ])("asks for pieces only where its caller does: %s %j", (path, body, pieces) =>
    withUpstream(undefined, async (server, upstream) => {
      const { status } = await server.request(path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      expect(status).toBe(200);
      expect(upstream.requests[0]!.body.stream ?? false).toBe(pieces);
    }),
  );

  it.each([
    ["ChatCompletion", false],
    ["ChatCompletionStream", true],
    ["StreamGenerate", true],
  ] as const)("asks for pieces only where its caller does: gRPC %s", (method, pieces) =>
    withUpstream(undefined, async (server, upstream) => {
      const client = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
      const request = { model: "gpt", prompt: "hello" };
      if (method === "ChatCompletion") await client.unary(LLMService.ChatCompletion, request);
      else await openStream(client, method, request).end;
      client.close();
      expect(upstream.requests[0]!.body.stream ?? false).toBe(pieces);
    }),
  );

  it.each([
    { input: "hello", dimensions: 2 },
    { input: "hello", input_type: "query" },
    { input: [1, 2] },
    { input: [[1, 2], [3]] },
  ])("leaves embeddings to the upstream that only it can make: %j", (body) =>
    withUpstream(reply(200, { object: "list", usage: { total_tokens: 2 } }), async (server, upstream) => {
      const answer = await server.post("/v1/embeddings", { model: "gpt", ...body });
      expect(answer).toEqual({ status: 200, body: { object: "list", usage: { total_tokens: 2 } } });
      expect(upstream.requests[0]).toMatchObject({
        url: "/v1/embeddings",
        body: { model: "served-name", ...body },
      });
    }),
  );

  it.each([
    { prompt: [1, 2], max_tokens: 3 },
    { prompt: [[1, 2], [3]], stream: true },
    { prompt: "hello", echo: true, logprobs: 1, max_tokens: 0 },
  ])("leaves completions to the upstream that only it can make: %j", (body) =>
    withUpstream(reply(200, { object: "text_completion" }), async (server, upstream) => {
      const answer = await server.post("/v1/completions", { model: "gpt", ...body });
      expect(answer).toEqual({ status: 200, body: { object: "text_completion" } });
      expect(upstream.requests[0]).toMatchObject({
        url: "/v1/completions",
        body: { model: "served-name", ...body },
      });
    }),
  );

  it.each([false, true])("passes on how many tokens the upstream knew (stream: %s)", (stream) => {
    const usage = {
      prompt_tokens: 9,
      completion_tokens: 1,
      total_tokens: 10,
      prompt_tokens_details: { cached_tokens: 8 },
    };
    const whole = { choices: [{ index: 0, message: { content: "hi" }, finish_reason: "stop" }], usage };
    const pieces = packets(chunk({ content: "hi" }, "stop"), event({ choices: [], usage }), DONE);
    return withUpstream(stream ? pieces : reply(200, whole), async (server) => {
      const answer = await server.request("/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          ...ASK,
          stream,
          stream_options: stream ? { include_usage: true } : undefined,
        }),
      });
      expect(await answer.text()).toContain(`"usage":${JSON.stringify(usage)}`);
    });
  });

  it("answers with its fallback when the upstream cannot, and the fallback can do what is asked", () =>
    withUpstream(reply(503, {}), async (server) => {
      const { body } = await server.post("/v1/chat/completions", { ...ASK, logprobs: false });
      expect(body).toMatchObject({ choices: [{ message: { content: "Echo: hello" } }] });
      const { status } = await server.post("/v1/chat/completions", ASK);
      expect(status).toBe(502);
    }));

  it.each([false, true])("closes the upstream's connection when the client leaves (stream: %s)", (stream) =>
    withUpstream(stalls(chunk({ content: "one" })), async (server, upstream) => {
      const controller = new AbortController();
      const init = {
        method: "POST",
        headers: { "content-type": "application/json" },
        signal: controller.signal,
      };
      const left = server.request("/v1/chat/completions", {
        ...init,
        body: JSON.stringify({ ...ASK, stream }),
      });
      const ended = left.then((response) => response.text());
      ended.catch(() => {});
      await eventually(() => upstream.open === 1);
      controller.abort();
      await expect(ended).rejects.toThrow();
      await upstream.idle();
      expect(upstream.left).toBe(1);
    }),
  );
});
