import { afterAll, beforeAll, describe, expect, it } from "vitest";
import openai from "../../adapters/openai/index.ts";
import { openaiOptions, timeoutFor } from "../../adapters/openai/options.ts";
import { type Embeddings, vectorsOf } from "../../src/contracts/index.ts";
import { adapterContract, testCall } from "../../src/testing/index.ts";
import { hello, load, spec } from "../support/openai-adapter.ts";
import { chat, OpenaiUpstream, reply, stalls } from "../support/openai-upstream.ts";

describe("contract", () => {
  let upstream: OpenaiUpstream;
  const options: Record<string, unknown> = { base_url: "http://127.0.0.1:1" };
  beforeAll(async () => {
    upstream = await OpenaiUpstream.start();
    options.base_url = upstream.origin;
  });
  afterAll(() => upstream[Symbol.asyncDispose]());
  const cases = adapterContract(openai, {
    options,
    model: () => spec,
    request: () => hello,
    choices: 3,
    badRequest: () => ({ messages: [], sampling: {} }),
    idle: () => upstream.idle(),
  });
  for (const { name, run } of cases) it(name, run);
});

describe("predictText", () => {
  it("asks without streaming", async () => {
    await using upstream = await OpenaiUpstream.start(chat("one", " two"));
    await using llm = await load({ base_url: upstream.origin });
    const completion = await llm.predictText!({ ...hello, n: 2 }, testCall());
    const choice = { text: "one two", toolCalls: [], reason: "stop" };
    expect(completion).toEqual({ choices: [choice, choice], usage: { inputTokens: 7, outputTokens: 4 } });
    expect(upstream.requests[0]!.body).toMatchObject({ stream: false });
    expect(upstream.requests[0]!.body).not.toHaveProperty("stream_options");
  });

  it.each([
    ["no choices", reply(200, { hello: 1 }), "UPSTREAM"],
    ["an error that is called a success", reply(200, { error: { message: "no", code: 404 } }), "NOT_FOUND"],
    ["a page", reply(200, "<html>"), "UPSTREAM"],
    ["a list", reply(200, []), "UPSTREAM"],
  ])("refuses %s", async (_what, answer, code) => {
    await using upstream = await OpenaiUpstream.start(answer);
    await using llm = await load({ base_url: upstream.origin, max_retries: 0 });
    await expect(llm.predictText!(hello, testCall())).rejects.toMatchObject({ code });
  });
});

describe("embed", () => {
  it("gives the vectors in the order of the texts", async () => {
    await using upstream = await OpenaiUpstream.start();
    await using llm = await load({ base_url: upstream.origin, model: "vectors" });
    const answer = await llm.embed!(["a", "bcd"], testCall());
    const vectors = vectorsOf(answer);
    expect(vectors.map((vector) => vector[0])).toEqual([1, 3]);
    expect((answer as Embeddings).inputTokens).toEqual([3, 8]);
    expect(upstream.requests[0]).toMatchObject({
      url: "/v1/embeddings",
      body: { model: "vectors", input: ["a", "bcd"], encoding_format: "float" },
    });
    expect(await llm.embed!([], testCall())).toEqual([]);
  });

  it("leaves the tokens open where the upstream does not count", async () => {
    const uncounted = reply(200, { data: [{ embedding: [1] }] });
    await using upstream = await OpenaiUpstream.start(uncounted);
    await using llm = await load({ base_url: upstream.origin });
    expect(await llm.embed!(["a"], testCall())).toEqual([Float32Array.of(1)]);
  });

  it.each([
    [[]],
    [[{ embedding: [1] }]],
    [[{ embedding: ["x"] }, { embedding: [1] }]],
    [[{ index: 9, embedding: [1] }]],
  ])("refuses %j for two texts", async (data) => {
    await using upstream = await OpenaiUpstream.start(reply(200, { data }));
    await using llm = await load({ base_url: upstream.origin });
    await expect(llm.embed!(["a", "b"], testCall())).rejects.toMatchObject({ code: "UPSTREAM" });
  });
});

describe("passthrough", () => {
  it("forwards JSON under the upstream's name of the model", async () => {
    await using upstream = await OpenaiUpstream.start(reply(200, { data: [{ b64_json: "AA==" }] }));
    await using llm = await load({ base_url: upstream.origin, model: "painter" });
    const call = testCall();
    const response = await llm.passthrough!(
      "/v1/images/generations",
      { model: "gpt", prompt: "a cat" },
      call,
    );
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ data: [{ b64_json: "AA==" }] });
    const { url, body } = upstream.requests[0]!;
    expect([url, body]).toEqual(["/v1/images/generations", { model: "painter", prompt: "a cat" }]);
  });

  it("forwards a form", async () => {
    await using upstream = await OpenaiUpstream.start(reply(200, { text: "hello" }));
    await using llm = await load({ base_url: upstream.origin, model: "whisper" });
    const form = new FormData();
    form.append("model", "gpt");
    form.append("file", new File(["sound"], "a.wav"));
    const response = await llm.passthrough!("audio/transcriptions", form, testCall());
    expect(await response.json()).toEqual({ text: "hello" });
    const { raw, headers } = upstream.requests[0]!;
    expect(headers["content-type"]).toMatch(/^multipart\/form-data/);
    expect(raw).toContain("a.wav");
    expect(raw).toContain("whisper");
    expect(raw).not.toContain("gpt");
  });

  it("streams, and tells the upstream when the reader leaves", async () => {
    await using upstream = await OpenaiUpstream.start(stalls("data: 1\n\n"));
    await using llm = await load({ base_url: upstream.origin });
    const response = await llm.passthrough!("responses", { stream: true }, testCall());
    expect(response.headers.get("content-type")).toMatch(/event-stream/);
    const reader = response.body!.getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe("data: 1\n\n");
    await reader.cancel();
    await upstream.idle();
    expect(upstream.left).toBe(1);
  });

  it("ends the body with the call's reason", async () => {
    await using upstream = await OpenaiUpstream.start(stalls("data: 1\n\n"));
    await using llm = await load({ base_url: upstream.origin });
    const controller = new AbortController();
    const call = testCall({ signal: controller.signal });
    const response = await llm.passthrough!("responses", { stream: true }, call);
    const reason = new Error("gone");
    const body = response.text();
    controller.abort(reason);
    await expect(body).rejects.toBe(reason);
    await upstream.idle();
  });

  it("gives an answer without a body", async () => {
    await using upstream = await OpenaiUpstream.start((response) => response.writeHead(204).end());
    await using llm = await load({ base_url: upstream.origin });
    expect((await llm.passthrough!("files/delete", {}, testCall())).status).toBe(204);
  });

  it.each([
    ["../admin", {}],
    ["images?x=1", {}],
    ["responses", "text"],
    ["responses", Buffer.from("x")],
  ])("refuses %j with %j", async (route, body) => {
    await using llm = await load({ base_url: "http://127.0.0.1:1" });
    const work = llm.passthrough!(route, body, testCall());
    await expect(work).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("options", () => {
  const issues = (options: Record<string, unknown>) => {
    const result = openai.options.safeParse({ base_url: "http://h", ...options });
    return result.success
      ? []
      : result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  };

  it("reads a base URL, and adds /v1 when it has no path", () => {
    const result = openai.options.safeParse({ base_url: ["http://h:1", "https://h/api/"] });
    const labels = result.success ? result.data.base_url.map(({ label }) => label) : [];
    expect(labels).toEqual(["http://h:1/v1", "https://h/api"]);
  });

  it("has the defaults that documentation names", () => {
    const result = openai.options.safeParse({ base_url: "http://h" });
    expect(result.success && result.data).toMatchObject({ max_retries: 2, api_key: "" });
  });

  it.each([
    [{}, "first token", 60_000],
    [{}, "answer", 600_000],
    [{ upstream_timeout: "5s" }, "first token", 5000],
    [{ upstream_timeout: "5s" }, "answer", 5000],
  ] as const)("with %j wait for the %s for %i ms", (options, awaited, milliseconds) => {
    const result = openaiOptions.parse({ base_url: "http://h", ...options });
    expect(timeoutFor(awaited, result)).toBe(milliseconds);
  });

  it.each([
    [{ base_url: undefined }, "base_url"],
    [{ base_url: "ftp://h" }, "base_url"],
    [{ base_url: "http://me:secret@h" }, "base_url"],
    [{ base_url: "http://h?key=secret" }, "base_url"],
    [{ base_url: ["http://h", "http://h/v1"] }, "base_url"],
    [{ api_key: "two words" }, "api_key"],
    [{ upstream_timeout: 60 }, "upstream_timeout"],
    [{ upstream_timeout: "0s" }, "upstream_timeout"],
    [{ headers: { host: "x" } }, "headers"],
    [{ headers: { "a b": "x" } }, "headers"],
    [{ circuit_breaker: { failures: 0 } }, "circuit_breaker.failures"],
  ])("refuse %j", (options, path) => {
    const found = issues(options);
    expect(found.length).toBeGreaterThan(0);
    expect(found[0]).toMatch(new RegExp(`^${path}`));
    expect(found.join()).not.toContain("secret");
  });
});
