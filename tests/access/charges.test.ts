import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService, LLMService } from "../../src/grpc/generated/services.ts";
import { bearer, modelsForKeys, TestAccess } from "../support/access.ts";
import { eventually } from "../support/eventually.ts";
import { codeName } from "../support/grpc.ts";
import { openStream } from "../support/grpc-llm.ts";
import type { TestRepository } from "../support/server.ts";

let repository: TestRepository;
let access: TestAccess;
beforeAll(async () => {
  repository = await modelsForKeys();
  access = await TestAccess.start(repository.root, `sqlite:${repository.path("charges.db")}`);
});
afterAll(async () => {
  await access[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const remaining = (response: Response) => Number(response.headers.get("x-ratelimit-remaining-tokens"));
const errorOf = async (response: Response) =>
  ((await response.json()) as { error: { code: string; message: string; param: string | null } }).error;
const texts = (...data: string[]) => [{ name: "text_input", datatype: "BYTES", shape: [data.length], data }];

describe("tokens of a minute", () => {
  it("are never given back beyond what was taken", async () => {
    const { key } = await access.keyWith({ tokensPerMinute: 300 });
    const left: number[] = [];
    for (let asked = 0; asked < 3; asked++) {
      const answer = await access.chat(key, { max_tokens: undefined });
      await answer.text();
      left.push(remaining(answer));
    }
    // Of each request 2 tokens in and 3 out stay; while it runs, 2 and 256 are taken.
    expect(left).toEqual([42, 37, 32]);
  });

  it("are not taken by a request that is refused for them", async () => {
    const { key, id } = await access.keyWith({ tokensPerMinute: 20 });
    await (await access.chat(key)).text();
    const refused = await access.chat(key, { max_tokens: 16 });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(Object.fromEntries(refused.headers)).toMatchObject({
      "x-ratelimit-limit-tokens": "20",
      "x-ratelimit-remaining-tokens": "15",
      "x-ratelimit-reset-tokens": expect.stringMatching(/^\d+\.\ds$/),
    });
    expect((await errorOf(refused)).message).toMatch(
      new RegExp(`Key '${id}' of role 'role-\\d+' may use 20 tokens a minute, .* come back in \\d+ s`),
    );
    expect((await access.chat(key)).status).toBe(200);
  });

  it("cannot be asked for beyond a whole minute", async () => {
    const { key } = await access.keyWith({ tokensPerMinute: 20 });
    const refused = await access.chat(key, { max_tokens: 500 });
    expect(refused.status).toBe(400);
    expect(await errorOf(refused)).toMatchObject({
      param: "max_tokens",
      message: expect.stringMatching(/may use 502 tokens, and role .* has 20 a minute/),
    });
    expect((await access.chat(key, { max_tokens: undefined })).status).toBe(200);
  });
});

describe("a request", () => {
  it("with several prompts is one request, and its tokens are counted once", async () => {
    const made = await access.keyWith({ requestsPerMonth: 10, tokensPerMonth: 10_000, concurrency: 1 });
    const prompt = ["one", "two", "three"];
    const answer = await access.post(made.key, "/v1/completions", { model: "echo", prompt, max_tokens: 9 });
    const { usage } = (await answer.json()) as {
      usage: { prompt_tokens: number; completion_tokens: number };
    };
    const { prompt_tokens: input_tokens, completion_tokens: output_tokens } = usage;
    await eventually(async () => (await access.quota(made)).tokens === input_tokens + output_tokens);
    expect((await access.quota(made)).requests).toBe(1);
    expect(await access.usage(made)).toMatchObject([{ requests: 1, input_tokens, output_tokens }]);
    expect((await access.chat(made.key)).status).toBe(200);
  });

  it("with several prompts keeps its place from one to the next", async () => {
    const { key } = await access.keyWith({ concurrency: 1 });
    const body = { model: "slow", stream: true, prompt: ["one", "two", "three"], max_tokens: 2 };
    const streamed = (await access.post(key, "/v1/completions", body)).text();
    const between: number[] = [];
    await eventually(async () => {
      between.push((await access.chat(key)).status);
      return between.at(-1) === 200;
    });
    expect(between).toContain(429);
    expect(await streamed).toMatch(/"index":2(.|\n)*data: \[DONE\]/);
  });

  it("with several prompts is refused as a whole", async () => {
    const made = await access.keyWith({ requestsPerMonth: 1 });
    expect((await access.chat(made.key)).status).toBe(200);
    const prompt = ["one", "two", "three"];
    const refused = await access.post(made.key, "/v1/completions", { model: "echo", prompt, max_tokens: 9 });
    expect(refused.status).toBe(429);
    expect(await access.usage(made)).toMatchObject([{ requests: 1, output_tokens: 3 }]);
    expect((await access.quota(made)).requests).toBe(1);
  });

  it("that is refused or fails takes nothing of a month", async () => {
    const made = await access.keyWith({ requestsPerMonth: 1, tokensPerMonth: 1000 });
    const refusals: [string, object, number][] = [
      ["/v1/chat/completions", { model: "ghost", messages: [{ role: "user", content: "x" }] }, 404],
      ["/v2/models/iris/infer", { inputs: [{ name: "Y", datatype: "FP32", shape: [1], data: [1] }] }, 400],
      ["/v1/embeddings", { model: "echo", input: "x" }, 501],
    ];
    for (const [path, body, status] of refusals) {
      expect([path, (await access.post(made.key, path, body)).status]).toEqual([path, status]);
      await eventually(async () => (await access.quota(made)).requests === 0);
    }
    expect(await access.quota(made)).toMatchObject({ requests: 0, tokens: 0 });
    expect(await access.usage(made)).toEqual([]);
    expect((await access.chat(made.key)).status).toBe(200);
    expect((await access.chat(made.key)).status).toBe(429);
  });

  it("with an image is not charged by its bytes", async () => {
    const { key } = await access.keyWith({ tokensPerMinute: 1500 });
    const url = `data:image/png;base64,${"A".repeat(40_000)}`;
    const content = [
      { type: "text", text: "What is it?" },
      { type: "image_url", image_url: { url } },
    ];
    const answer = await access.chat(key, { messages: [{ role: "user", content }] });
    expect(remaining(answer)).toBe(1500 - 1000 - 3 - 5);
  });

  it("whose caller leaves pays for its prompt, and for what was written", async () => {
    const made = await access.keyWith({ tokensPerMonth: 10_000 });
    const leaving = new AbortController();
    const messages = [{ role: "user", content: "word ".repeat(400) }];
    const more = { model: "slow", stream: true, messages, max_tokens: 100 };
    const answer = await access.chat(made.key, more, leaving.signal);
    await answer.body!.getReader().read();
    leaving.abort();
    await eventually(async () => (await access.quota(made)).tokens < 600);
    const [row] = await access.usage(made);
    expect(row).toMatchObject({ model: "slow", requests: 1, input_tokens: 500 });
    expect((await access.quota(made)).tokens).toBe(500 + Number(row!.output_tokens));
  });

  it.each([
    ["/v1/chat/completions", { messages: [{ role: "user", content: "word ".repeat(400) }] }],
    ["/v2/models/slow/infer", { inputs: texts("word ".repeat(400)) }],
  ])("whose caller leaves a whole answer pays for what was written: %s", async (path, body) => {
    const made = await access.keyWith({ tokensPerMonth: 10_000 });
    const leaving = new AbortController();
    const answer = access.post(made.key, path, { model: "slow", ...body }, leaving.signal);
    await new Promise((resolve) => setTimeout(resolve, 400));
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await eventually(async () => (await access.usage(made)).length === 1);
    const [row] = await access.usage(made);
    expect(row).toMatchObject({ model: "slow", requests: 1, input_tokens: 500 });
    expect(Number(row!.output_tokens)).toBeGreaterThan(0);
  });

  it.each([-5, 0, 1.5, 1e300, "many"])("with %s for max_tokens takes nothing", async (max_tokens) => {
    const made = await access.keyWith({ tokensPerMonth: 5000, tokensPerMinute: 5000 });
    const body = { inputs: texts("one"), parameters: { max_tokens } };
    const { status } = await access.post(made.key, "/v2/models/echo/infer", body);
    expect([400, 429]).toContain(status);
    await eventually(async () => (await access.quota(made)).tokens === 0);
    expect((await access.chat(made.key)).status).toBe(200);
  });

  it("cannot say what it wants in a way that its role does not see", async () => {
    const { key } = await access.keyWith({ maxTokens: 2, tokensPerMonth: 5000 });
    for (const max_tokens of ["50", true, [50]]) {
      const body = { inputs: texts("one two three four five"), parameters: { max_tokens } };
      expect((await access.post(key, "/v2/models/echo/infer", body)).status).toBe(400);
    }
    const inputs = [
      { ...texts("one two three four five")[0]!, parameters: { max_tokens: 50 } },
      { name: "max_tokens", datatype: "INT32", shape: [1], data: [50] },
    ];
    const said: string[] = [];
    for (const each of [[inputs[0]], [...texts("one two three four five"), inputs[1]]]) {
      said.push(await (await access.post(key, "/v2/models/echo/infer", { inputs: each })).text());
    }
    expect(said).toEqual([
      expect.stringContaining('"data":["Echo: one"]'),
      expect.stringContaining("Input 'max_tokens' is not one of the model's"),
    ]);
    for (const value of [{ doubleParam: Number.NaN }, { stringParam: "50" }, { int64Param: -1 }]) {
      const bytes = { bytesContents: [Buffer.from("one two")] };
      const asked = {
        modelName: "echo",
        inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], contents: bytes }],
        parameters: { max_tokens: value },
      };
      const { code } = await access.call(key, GRPCInferenceService.ModelInfer, asked as never);
      expect(codeName(code)).toBe("INVALID_ARGUMENT");
    }
  });

  it("for a model that is not there leaves no row of usage", async () => {
    const made = await access.keyWith({});
    const asked = { modelName: "ghost", inputs: [] };
    expect(codeName((await access.call(made.key, GRPCInferenceService.ModelInfer, asked)).code)).toBe(
      "NOT_FOUND",
    );
    expect(await access.usage(made)).toEqual([]);
  });
});

describe("an answer in pieces", () => {
  it("says how the limits stand before the first of them, over HTTP and gRPC", async () => {
    const { key } = await access.keyWith({ requestsPerMinute: 3, tokensPerMinute: 100 });
    const http = await access.chat(key, { stream: true });
    await http.text();
    expect(http.headers.get("x-ratelimit-remaining-requests")).toBe("2");
    const asked = { model: "echo", prompt: "", messages: [{ role: "user", content: "one" }], maxTokens: 5 };
    const { headers, end } = openStream(access.grpc, "ChatCompletionStream", asked, { headers: bearer(key) });
    expect((await end).code).toBe("OK");
    expect(await headers).toMatchObject({
      "x-ratelimit-remaining-requests": "1",
      "x-ratelimit-limit-tokens": "100",
    });
  });
});

describe("over gRPC", () => {
  const asked = { model: "echo", prompt: "", messages: [{ role: "user", content: "one two" }], maxTokens: 5 };

  it("limits are those of HTTP, and stand in metadata", async () => {
    const { key } = await access.keyWith({ requestsPerMinute: 1 });
    const answer = await access.call(key, LLMService.ChatCompletion, asked);
    expect([codeName(answer.code), answer.metadata["x-ratelimit-remaining-requests"]]).toEqual(["OK", "0"]);
    const refused = await access.call(key, LLMService.ChatCompletion, asked);
    expect(codeName(refused.code)).toBe("RESOURCE_EXHAUSTED");
    expect(refused.details).toMatch(/may use 1 requests a minute/);
    expect(refused.metadata).toMatchObject({
      "x-ratelimit-limit-requests": "1",
      "grpc-retry-pushback-ms": expect.stringMatching(/^\d+$/),
      "retry-after": expect.stringMatching(/^\d+$/),
    });
    expect((await access.chat(key)).status).toBe(429);
  });

  it("exactly as many requests of a month pass as there are", async () => {
    const { key } = await access.keyWith({ requestsPerMonth: 20 });
    const codes = await Promise.all(
      Array.from({ length: 50 }, async () =>
        codeName((await access.call(key, LLMService.ChatCompletion, asked)).code),
      ),
    );
    expect(codes.filter((code) => code === "OK")).toHaveLength(20);
    expect(codes.filter((code) => code === "RESOURCE_EXHAUSTED")).toHaveLength(30);
  });

  it("each request of a stream takes its own", async () => {
    const made = await access.keyWith({ requestsPerMonth: 2, tokensPerMonth: 1000 });
    const inputs = [
      {
        name: "text_input",
        datatype: "BYTES",
        shape: [1],
        contents: { bytesContents: [Buffer.from("one")] },
      },
    ];
    const request = { modelName: "echo", inputs };
    const answers: string[] = [];
    for (let asked = 0; asked < 3; asked++) {
      const { messages } = await access.grpc.stream(GRPCInferenceService.ModelStreamInfer, [request], {
        headers: bearer(made.key),
      });
      answers.push(messages.at(-1)!.errorMessage ?? "");
    }
    expect(answers).toEqual(["", "", expect.stringMatching(/^QUOTA_EXCEEDED: .* may use 2 requests/)]);
    // "one" is one token, and its echo two.
    await eventually(async () => (await access.quota(made)).tokens === 6);
  });

  it("models are those of the role", async () => {
    const { key } = await access.keyWith({ models: ["iris"] });
    const denied = await access.call(key, LLMService.ChatCompletion, asked);
    expect([codeName(denied.code), denied.details]).toEqual([
      "PERMISSION_DENIED",
      expect.stringMatching(/may not use model 'echo'/),
    ]);
    const { response } = await access.call(key, GRPCInferenceService.RepositoryIndex, {});
    expect(response.models!.map(({ name }) => name)).toEqual(["iris"]);
    const { ModelMetadata, ModelReady, ModelConfig, ModelStatistics } = GRPCInferenceService;
    for (const method of [ModelMetadata, ModelReady, ModelConfig, ModelStatistics])
      expect(codeName((await access.call(key, method as never, { name: "echo" } as never)).code)).toBe(
        "PERMISSION_DENIED",
      );
    const { response: counted } = await access.call(key, ModelStatistics, {});
    expect(counted.modelStats!.map(({ name }) => name)).toEqual(["iris"]);
  });
});
