import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LLMService } from "../../src/grpc/generated/services.ts";
import { eventually } from "../support/eventually.ts";
import { codeName, TestClient } from "../support/grpc.ts";
import { openStream, user } from "../support/grpc-llm.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let repository: TestRepository;
let host: TestServer;
let client: TestClient;

const echo = (name: string, extra: object) => ({
  name,
  implementation: "llm",
  parameters: { version: "7", extra: { framework: "echo", ...extra } },
});

beforeAll(async () => {
  repository = await TestRepository.create();
  await repository.write("fast", echo("fast", {}));
  await repository.write("slow", echo("slow", { delay_ms: 3_600_000 }));
  await repository.write("steady", echo("steady", { delay_ms: 20 }));
  host = await serve(repository.root, { default_model: "fast" });
  client = new TestClient(`127.0.0.1:${host.running.grpc.port}`);
});
afterAll(async () => {
  client?.close();
  await host?.[Symbol.asyncDispose]();
  await repository?.[Symbol.asyncDispose]();
});

const ask = (request: Parameters<typeof LLMService.ChatCompletion.requestSerialize>[0]) =>
  client.unary(LLMService.ChatCompletion, request);

describe("a language model of a real server", () => {
  test("answers at once, and token by token", async () => {
    const { response } = await ask({ messages: user("Hi there") });
    expect(response).toMatchObject({
      model: "fast",
      modelVersion: "7",
      content: "Echo: Hi there",
      finishReason: "stop",
      usage: { promptTokens: 2, completionTokens: 3, totalTokens: 5 },
    });
    const { chunks, end, headers } = openStream(client, "StreamGenerate", { prompt: "Hi there" });
    expect((await end).code).toBe("OK");
    expect(await headers).toMatchObject({ "x-capstan-model-version": "7" });
    expect(chunks.map(({ delta }) => delta)).toEqual(["Echo:", " Hi", " there", ""]);
    expect(chunks.at(-1)).toMatchObject({ finishReason: "stop", usage: response.usage });
  });

  test("keeps to the limits of the request", async () => {
    const short = await ask({ messages: user("one two three"), maxTokens: 2 });
    expect(short.response).toMatchObject({ content: "Echo: one", finishReason: "length" });
    const stopped = await ask({ messages: user("one two three"), stop: ["two"] });
    expect(stopped.response).toMatchObject({ content: "Echo: one ", finishReason: "stop" });
  });

  test.each([
    ["max_tokens", { maxTokens: 0 }],
    ["temperature", { temperature: Number.NaN }],
    ["top_p", { topP: 1.5 }],
    ["top_k", { topK: -2 }],
  ])("refuses a %s that makes no sense", async (field, sampling) => {
    const { code, details } = await ask({ messages: user("Hi"), ...sampling });
    expect([codeName(code), details]).toEqual(["INVALID_ARGUMENT", expect.stringContaining(`'${field}'`)]);
  });

  test("stops at the time limit, and when the client leaves", async () => {
    const late = await ask({ model: "slow", messages: user("Hi"), timeoutMs: 50 });
    expect(codeName(late.code)).toBe("DEADLINE_EXCEEDED");
    const failed = (model: string) => host.running.plane.statistics(model)[0]!.inferenceStats.fail.count;
    await eventually(() => failed("slow") === 1);
    const prompt = "again ".repeat(3000);
    const { call, end } = openStream(client, "ChatCompletionStream", { model: "steady", prompt });
    call.once("metadata", () => call.cancel());
    expect((await end).code).toBe("CANCELLED");
    await eventually(() => failed("steady") === 1);
  });
});
