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
  const { choices } = (await (await send(CHAT, body)).json()) as { choices: [Record<string, unknown>] };
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
  return { response, events: dataOf(await response.text()) as Record<string, unknown>[] };
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

  it("takes the input of an application in place of messages", async () => {
    const asked = async (more: object) => server.post(CHAT, { model: "echo", ...more });
    const said = async (more: object) =>
      ((await asked(more)).body as { choices: { message: { content: string } }[] }).choices[0]!.message
        .content;
    expect(await said({ input: { topic: "x" } })).toBe('Echo: {"topic":"x"}');
    expect(await said({ inputs: "hi" })).toBe("Echo: hi");
    expect(await said({ input: "no", messages: [user("hi")] })).toBe("Echo: hi");
    expect((await asked({})).body).toMatchObject({ error: { param: "messages" } });
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
