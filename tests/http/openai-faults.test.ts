import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LlmServer, serveLlms } from "../support/scripted-llm.ts";
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
  [CHAT, { model: "echo", messages, max_completion_tokens: 0 }, 400, "max_completion_tokens"],
  ["/v1/responses", { model: "echo", input: "a", max_output_tokens: 0 }, 400, "max_output_tokens"],
  ["/v1/embeddings", { model: "echo", input: [] }, 400, "input"],
  [CHAT, { model: "echo", messages, stop: [1] }, 400, "stop"],
  [CHAT, { model: "echo", messages, stream: "yes" }, 400, "stream"],
  [CHAT, { model: "echo", messages, stream_options: {} }, 400, "stream_options"],
  [CHAT, { model: "echo", messages, tools: {} }, 400, "tools"],
  [CHAT, { model: "echo", messages, conversation: 5 }, 400, "conversation"],
  [CHAT, { model: "echo", messages, metadata: { session_id: 5 } }, 400, "metadata.session_id"],
  ["/v1/completions", { model: "echo" }, 400, "prompt"],
  ["/v1/completions", { model: "echo", prompt: [[1, 2]] }, 501, "prompt"],
  ["/v1/completions", { model: "echo", prompt: [] }, 400, "prompt"],
  ["/v1/completions", { model: "echo", prompt: [1, "a"] }, 400, "prompt"],
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
