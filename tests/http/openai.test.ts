import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataOf, type LlmServer, serveLlms } from "../support/scripted-llm.ts";
import type { TestServer } from "../support/server.ts";

let served: LlmServer;
let server: TestServer;
beforeAll(async () => {
  served = await serveLlms();
  server = served.server;
});
afterAll(() => served[Symbol.asyncDispose]());

const CHAT = "/v1/chat/completions";
const user = (content: unknown) => ({ role: "user", content });
const chat = (content: unknown, more: object = {}) => ({
  model: "scripted",
  messages: [user(content)],
  ...more,
});

function send(path: string, body: unknown, headers: Record<string, string> = {}) {
  const json = { "content-type": "application/json", ...headers };
  return server.request(path, { method: "POST", headers: json, body: JSON.stringify(body) });
}

/** The answer's one choice. */
async function choiceOf(body: unknown) {
  const { choices } = (await (await send(CHAT, body)).json()) as { choices: [Record<string, never>] };
  return choices[0];
}

/** What the model was asked. */
async function seen(body: object, headers?: Record<string, string>) {
  const response = await send(CHAT, { model: "scripted", messages: [user("seen")], ...body }, headers);
  const { choices } = (await response.json()) as { choices: [{ message: { content: string } }] };
  return JSON.parse(choices[0].message.content) as Record<string, unknown>;
}

async function streamed(path: string, body: object) {
  const response = await send(path, { ...body, stream: true });
  return { response, events: dataOf(await response.text()) as Record<string, never>[] };
}

describe("a chat completion", () => {
  it("has OpenAI's form", async () => {
    const response = await send(CHAT, { model: "echo", messages: [user("hello there")] });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-capstan-model-version")).toBe("7");
    expect(Number(response.headers.get("x-capstan-overhead-ms"))).toBeGreaterThanOrEqual(0);
    const id = response.headers.get("x-request-id");
    expect(await response.json()).toEqual({
      id: `chatcmpl-${id}`,
      object: "chat.completion",
      created: expect.closeTo(Date.now() / 1000, -2),
      model: "echo",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Echo: hello there", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage: { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 },
    });
  });

  it("gives n choices, counts the input once, and ends at the limit", async () => {
    const { body } = await server.post(CHAT, { model: "echo", messages: [user("a b")], n: 2, max_tokens: 2 });
    const { choices, usage } = body as { choices: { index: number; finish_reason: string }[]; usage: object };
    expect(choices.map(({ index, finish_reason }) => [index, finish_reason])).toEqual([
      [0, "length"],
      [1, "length"],
    ]);
    expect(usage).toEqual({ prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 });
  });

  it("has tool calls, reasoning and log probabilities where the model gives them", async () => {
    const tools = await choiceOf(chat("tools"));
    expect(tools).toMatchObject({ finish_reason: "tool_calls", message: { content: "Let me see." } });
    expect((tools.message as { tool_calls: object[] }).tool_calls).toEqual([
      { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Rome"}' } },
      { id: "call_2", type: "function", function: { name: "time", arguments: "{}" } },
    ]);
    expect((await choiceOf(chat("quiet"))).message).toMatchObject({ content: null });
    expect((await choiceOf(chat("think"))).message).toMatchObject({
      content: "42",
      reasoning_content: "Hm. Yes.",
    });
    const { logprobs } = await choiceOf(chat("logprobs", { logprobs: true }));
    expect(logprobs).toMatchObject({ content: [{ token: "a" }, { token: "b" }], refusal: null });
  });
});

describe("what the model is asked", () => {
  it("has every field under its own name, and the others as they are", async () => {
    const image = { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } };
    const call = { id: "c", type: "function", function: { name: "f", arguments: "{}" } };
    const request = await seen({
      messages: [
        { role: "developer", content: "Be brief" },
        { role: "user", content: [{ type: "text", text: "What is it?" }, image], name: "ann" },
        { role: "assistant", content: null, tool_calls: [call] },
        { role: "tool", content: "42", tool_call_id: "c" },
      ],
      ...{ temperature: 0.5, top_p: 0.9, top_k: 4, min_p: 0.1, seed: 3, stop: "☂", n: 1 },
      ...{ frequency_penalty: 1, presence_penalty: -1, repetition_penalty: 1.1 },
      ...{ max_tokens: 4, max_completion_tokens: 5, tools: [{ type: "function" }], tool_choice: "auto" },
      ...{ response_format: { type: "json_object" }, reasoning_effort: "low", user: null },
      metadata: { team: "a" },
    });
    expect(request).toEqual({
      messages: [
        { role: "system", content: "Be brief" },
        { role: "user", content: [{ type: "text", text: "What is it?" }, image], name: "ann" },
        { role: "assistant", content: "", toolCalls: [{ id: "c", name: "f", arguments: "{}" }] },
        { role: "tool", content: "42", toolCallId: "c" },
      ],
      sampling: {
        ...{ maxTokens: 5, temperature: 0.5, topP: 0.9, topK: 4, minP: 0.1, seed: 3, stop: ["☂"] },
        ...{ frequencyPenalty: 1, presencePenalty: -1, repeatPenalty: 1.1 },
      },
      n: 1,
      tools: [{ type: "function" }],
      toolChoice: "auto",
      responseFormat: { type: "json_object" },
      extra: { reasoning_effort: "low", metadata: { team: "a" } },
    });
  });

  it("has the session of the header, the conversation or the metadata, in this order", async () => {
    const metadata = { session_id: "m" };
    const header = { "x-session-id": "h" };
    expect(await seen({ conversation: "c", metadata }, header)).toMatchObject({ session: "h", extra: {} });
    expect(await seen({ conversation: { id: "c" }, metadata })).toMatchObject({ session: "c" });
    expect(await seen({ metadata })).toMatchObject({ session: "m" });
    expect(await seen({})).not.toHaveProperty("session");
  });
});

describe("a streamed chat completion", () => {
  it("has a chunk for each part, the usage when asked for, and its mark at the end", async () => {
    const body = { model: "echo", messages: [user("hi")], n: 2, stream_options: { include_usage: true } };
    const { response, events } = await streamed(CHAT, body);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "x-accel-buffering": "no",
      "cache-control": "no-cache, no-transform",
      "x-capstan-model-version": "7",
      "x-capstan-overhead-ms": expect.any(String),
    });
    expect(events.pop()).toBe("[DONE]");
    expect(events.pop()).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 },
    });
    const shared = { id: events[0]!.id, object: "chat.completion.chunk", model: "echo", usage: null };
    for (const event of events) expect(event).toMatchObject(shared);
    const choices = events.map((event) => (event.choices as unknown[])[0]);
    const chunk = (index: number, delta: object, finish_reason: string | null = null) => ({
      ...{ index, delta, logprobs: null, finish_reason },
    });
    expect(choices).toEqual([
      chunk(0, { role: "assistant", content: "Echo:" }),
      chunk(1, { role: "assistant", content: "Echo:" }),
      chunk(0, { content: " hi" }),
      chunk(1, { content: " hi" }),
      chunk(0, {}, "stop"),
      chunk(1, {}, "stop"),
    ]);
  });

  it("numbers tool calls, and has reasoning, log probabilities and an empty answer", async () => {
    const deltas = async (content: string) => {
      const { events } = await streamed(CHAT, chat(content));
      return events.slice(0, -1).map((event) => (event.choices as { delta: object }[])[0]!.delta);
    };
    const call = (index: number, id: string) => ({ tool_calls: [expect.objectContaining({ index, id })] });
    expect(await deltas("tools")).toEqual([
      { role: "assistant", content: "Let me see." },
      call(0, "call_1"),
      call(1, "call_2"),
      {},
    ]);
    expect(await deltas("quiet")).toEqual([{ role: "assistant", content: "", ...call(0, "call_1") }, {}]);
    expect((await deltas("think"))[0]).toEqual({ role: "assistant", content: "", reasoning_content: "Hm. " });
    expect(await deltas("empty")).toEqual([{ role: "assistant", content: "" }]);
    const { events } = await streamed(CHAT, chat("logprobs"));
    expect(events[0]).toMatchObject({ choices: [{ logprobs: { content: [{ token: "a" }] } }] });
  });

  it("ends with an error that came after the first token, and answers an earlier one with a status", async () => {
    const { response, events } = await streamed(CHAT, chat("breaks"));
    expect(response.status).toBe(200);
    expect(events.slice(1)).toEqual([
      { error: { message: "The upstream broke off", type: "server_error", param: null, code: "upstream" } },
      "[DONE]",
    ]);
    const refused = await send(CHAT, chat("refuse", { stream: true }));
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "2"]);
    expect(await refused.json()).toMatchObject({ error: { type: "rate_limit_error", code: "rate_limited" } });
  });
});

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
      usage: { prompt_tokens: 0, total_tokens: 0 },
    });
    const packed = (await ask({ input: "abc", encoding_format: "base64", dimensions: 3 })).body as {
      data: [{ embedding: string }];
    };
    const bytes = Buffer.from(packed.data[0].embedding, "base64");
    expect([0, 4, 8].map((at) => bytes.readFloatLE(at))).toEqual([...Float32Array.of(3, 0.1, -1e-9)]);
  });

  it("are refused for token ids, other dimensions, and models that make none", async () => {
    expect(await ask({ input: [[1, 2]] })).toMatchObject({
      status: 400,
      body: { error: { param: "input" } },
    });
    expect(await ask({ input: "a", dimensions: 2 })).toMatchObject({
      status: 400,
      body: { error: { param: "dimensions", message: expect.stringContaining("3") } },
    });
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
    const { response, events } = await streamed("/v1/responses", { model: "scripted", breaks: true });
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    expect(events).toEqual([{}, { error: expect.objectContaining({ message: "The upstream broke off" }) }]);
  });

  it("are refused by a model without an upstream", async () => {
    expect(await server.post("/v1/responses", { model: "echo", input: "hi" })).toMatchObject({
      status: 501,
      body: { error: { type: "invalid_request_error", code: "unsupported" } },
    });
  });
});

/** What a caller can get wrong: the route, the body, the status and what is at fault. */
const messages = [user("hi")];
const faults: [string, unknown, number, string | null][] = [
  [CHAT, { model: "echo" }, 400, "messages"],
  [CHAT, { model: "echo", messages: [] }, 400, "messages"],
  [CHAT, { model: "echo", messages: "hi" }, 400, "messages"],
  [CHAT, { model: "echo", messages: [{ role: "king", content: "" }] }, 400, "messages[0].role"],
  [CHAT, { model: "echo", messages: [{ role: "user" }] }, 400, "messages[0].content"],
  [CHAT, { model: "echo", messages: [user(5)] }, 400, "messages[0].content"],
  [CHAT, { model: "echo", messages: [user([{ type: "text" }])] }, 400, "messages[0].content[0]"],
  [CHAT, { model: "nobody", messages }, 404, "model"],
  [CHAT, { model: "", messages }, 400, "model"],
  [CHAT, { model: "../echo", messages }, 404, "model"],
  [CHAT, { model: 5, messages }, 400, "model"],
  [CHAT, { model: "echo", messages, n: 0 }, 400, "n"],
  [CHAT, { model: "echo", messages, n: 1.5 }, 400, "n"],
  [CHAT, { model: "echo", messages, n: 1000 }, 400, "n"],
  [CHAT, { model: "echo", messages, temperature: "hot" }, 400, "temperature"],
  [CHAT, { model: "echo", messages, temperature: -1 }, 400, "temperature"],
  [CHAT, { model: "echo", messages, max_tokens: 0 }, 400, "max_tokens"],
  [CHAT, { model: "echo", messages, stop: [1] }, 400, "stop"],
  [CHAT, { model: "echo", messages, stream: "yes" }, 400, "stream"],
  [CHAT, { model: "echo", messages, stream_options: {} }, 400, "stream_options"],
  [CHAT, { model: "echo", messages, tools: {} }, 400, "tools"],
  [CHAT, { model: "echo", messages, conversation: 5 }, 400, "conversation"],
  [CHAT, { model: "echo", messages, metadata: { session_id: 5 } }, 400, "metadata.session_id"],
  ["/v1/completions", { model: "echo" }, 400, "prompt"],
  ["/v1/completions", { model: "echo", prompt: [[1, 2]] }, 400, "prompt"],
  ["/v1/completions", { model: "echo", prompt: "a", echo: true, logprobs: 1 }, 501, "echo"],
  ["/v1/images/generations", { model: 5 }, 400, "model"],
  [CHAT, [], 400, null],
  ["/v1/nothing", {}, 404, null],
  ["/v1/models", {}, 405, null],
];

describe("a fault of the caller", () => {
  it.each(faults)("%s %j is %i about %s", async (path, body, status, param) => {
    const answer = await server.post(path, body);
    expect(answer).toMatchObject({
      status,
      body: { error: { param, message: expect.stringMatching(/.+/) } },
    });
    const { error } = answer.body as { error: object };
    expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
  });

  it("may be the media type, or JSON that is none", async () => {
    const text = await server.request(CHAT, {
      method: "POST",
      body: "hi",
      headers: { "content-type": "text/plain" },
    });
    expect([text.status, await text.json()]).toMatchObject([415, { error: { code: "unsupported_media" } }]);
    expect(await server.post(CHAT, "{")).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_argument" } },
    });
  });

  it("is not what broke inside", async () => {
    const { status, body } = await server.post(CHAT, chat("burst"));
    expect(status).toBe(500);
    expect(JSON.stringify(body)).toMatch(/request id/);
    expect(JSON.stringify(body)).not.toMatch(/secret/);
  });
});
