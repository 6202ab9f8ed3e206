import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataOf, type LlmServer, serveLlms } from "../support/scripted-llm.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let served: LlmServer;
let server: TestServer;
beforeAll(async () => {
  served = await serveLlms();
  server = served.server;
});
afterAll(() => served[Symbol.asyncDispose]());

const CHAT = "/v1/chat/completions";
const user = (content: unknown) => ({ role: "user", content });

function send(path: string, body: unknown, headers: Record<string, string> = {}) {
  const json = { "content-type": "application/json", ...headers };
  return server.request(path, { method: "POST", headers: json, body: JSON.stringify(body) });
}

async function streamed(path: string, body: object) {
  const response = await send(path, { ...body, stream: true });
  return { response, events: dataOf(await response.text()) as Record<string, unknown>[] };
}

describe("completions", () => {
  it("continue one prompt or several", async () => {
    const { body } = await server.post("/v1/completions", {
      model: "echo",
      prompt: ["a", "b c"],
      n: 2,
      echo: true,
    });
    expect(body).toMatchObject({
      id: expect.stringMatching(/^cmpl-/),
      object: "text_completion",
      model: "echo",
      choices: [
        { index: 0, text: "aEcho: a", logprobs: null, finish_reason: "stop" },
        { index: 1, text: "aEcho: a" },
        { index: 2, text: "b cEcho: b c" },
        { index: 3, text: "b cEcho: b c" },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 10, total_tokens: 13 },
    });
  });

  it("stream, one prompt after the other", async () => {
    const body = { model: "echo", prompt: ["a", "b"], echo: true, stream_options: { include_usage: true } };
    const { events } = await streamed("/v1/completions", body);
    const choices = events.slice(0, -2).map((event) => (event.choices as unknown[])[0]);
    const chunk = (index: number, text: string, finish_reason: string | null = null) => ({
      ...{ index, text, logprobs: null, finish_reason },
    });
    expect(choices).toEqual([
      ...[chunk(0, "aEcho:"), chunk(0, " a"), chunk(0, "", "stop")],
      ...[chunk(1, "bEcho:"), chunk(1, " b"), chunk(1, "", "stop")],
    ]);
    expect(events.at(-2)).toMatchObject({ choices: [], usage: { total_tokens: 6 } });
    expect(events.at(-1)).toBe("[DONE]");
  });

  it("fail as a whole when one prompt fails", async () => {
    const { status, body } = await server.post("/v1/completions", {
      model: "scripted",
      prompt: ["silent", "refuse"],
    });
    expect(status).toBe(429);
    expect(body).toMatchObject({ error: { message: "Come back later" } });
  });
});

describe("embeddings", () => {
  const ask = (more: object) => server.post("/v1/embeddings", { model: "scripted", ...more });

  it("are numbers with the digits they have, or base64", async () => {
    const { body } = await ask({ input: ["abc", ""] });
    expect(body).toEqual({
      object: "list",
      data: [
        { object: "embedding", index: 0, embedding: [3, expect.closeTo(0.1, 7), expect.closeTo(-1e-9, 16)] },
        { object: "embedding", index: 1, embedding: [0, expect.closeTo(0.1, 7), expect.closeTo(-1e-9, 16)] },
      ],
      model: "scripted",
      usage: { prompt_tokens: 1, total_tokens: 1 },
    });
    const packed = (await ask({ input: "abc", encoding_format: "base64" })).body as {
      data: [{ embedding: string }];
    };
    const bytes = Buffer.from(packed.data[0].embedding, "base64");
    expect([0, 4, 8].map((at) => bytes.readFloatLE(at))).toEqual([...Float32Array.of(3, 0.1, -1e-9)]);
  });

  it.each([false, true])(
    "are refused for token ids and other dimensions where no upstream makes them (lazy: %s)",
    async (lazy) => {
      await using repository = await TestRepository.create();
      await repository.addSample("embedder");
      const settings = JSON.parse(await readFile(repository.path("embedder", "model-settings.json"), "utf8"));
      settings.parameters.extra.lazy = lazy;
      await repository.write("embedder", settings);
      await using other = await serve(repository.root);
      const embed = (more: object) => other.post("/v1/embeddings", { model: "embedder", ...more });
      expect(await embed({ input: "a", dimensions: 256, input_type: "query" })).toMatchObject({
        status: 200,
      });
      expect(await embed({ input: ["How do I load a model?", "Hello"] })).toMatchObject({
        body: { usage: { prompt_tokens: 7, total_tokens: 7 } },
      });
      expect(await embed({ input: "a", dimensions: 2 })).toMatchObject({
        status: 400,
        body: { error: { param: "dimensions", message: expect.stringContaining("256") } },
      });
      expect(await embed({ input: [[1, 2]] })).toMatchObject({
        status: 501,
        body: { error: { param: "input", message: expect.stringContaining("token ids") } },
      });
    },
  );

  it("are refused by models that make none", async () => {
    expect(await ask({ input: "a", model: "echo" })).toMatchObject({ status: 501 });
  });
});

describe("models", () => {
  it("are listed and looked up", async () => {
    const model = (id: string) => ({ id, object: "model", created: 0, owned_by: "capstan" });
    expect((await server.get("/v1/models")).body).toEqual({
      object: "list",
      data: [model("echo"), model("scripted")],
    });
    expect((await server.get("/v1/models/echo")).body).toEqual(model("echo"));
    expect(await server.get("/v1/models/some/where")).toMatchObject({
      status: 404,
      body: { error: { code: "model_not_found" } },
    });
  });

  it("need a name where there are several, unless one is the default", async () => {
    const messages = [user("hi")];
    const unnamed = await server.post(CHAT, { messages });
    expect(unnamed).toMatchObject({ status: 400, body: { error: { param: "model" } } });
    expect(JSON.stringify(unnamed.body)).toMatch(/echo, scripted/);
    await using other = await serveLlms({ default_model: "echo" });
    expect((await other.server.post(CHAT, { messages })).body).toMatchObject({ model: "echo" });
    await using single = await serveLlms({}, false);
    expect((await single.server.post(CHAT, { messages })).body).toMatchObject({ model: "scripted" });
  });
});

describe("routes of the upstream", () => {
  it("get the body as it is, and give the answer as it is", async () => {
    const body = { model: "scripted", prompt: "a cat" };
    const response = await send("/v1/images/generations", body);
    expect([response.status, response.headers.get("x-upstream")]).toEqual([201, "yes"]);
    expect(response.headers.get("x-request-id")).toMatch(/.+/);
    expect(await response.json()).toEqual({ route: "images/generations", body });
    const speech = await send("/v1/audio/speech", body);
    expect(speech.headers.get("content-type")).toBe("audio/wav");
    expect(new Uint8Array(await speech.arrayBuffer())).toEqual(Uint8Array.of(1, 2, 3));
  });

  it("take forms", async () => {
    const form = new FormData();
    form.set("model", "scripted");
    form.set("file", new Blob(["sound"]), "a.wav");
    const response = await server.request("/v1/audio/transcriptions", { method: "POST", body: form });
    expect(await response.json()).toEqual({
      route: "audio/transcriptions",
      file: "sound",
      model: "scripted",
    });
    const headers = { "content-type": "multipart/form-data; boundary=x" };
    const bad = await server.request("/v1/audio/transcriptions", {
      method: "POST",
      headers,
      body: "no form",
    });
    expect(bad.status).toBe(400);
  });

  it("stream, and end with an error where the upstream breaks off", async () => {
    const { response, events } = await streamed("/v1/images/edits", { model: "scripted", breaks: true });
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    expect(events).toEqual([{}, { error: expect.objectContaining({ message: "The upstream broke off" }) }]);
  });

  it("are refused by a model without an upstream", async () => {
    expect(await server.post("/v1/images/edits", { model: "echo", prompt: "hi" })).toMatchObject({
      status: 501,
      body: { error: { type: "invalid_request_error", code: "unsupported" } },
    });
  });
});
