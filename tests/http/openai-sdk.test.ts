import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type LlmServer, script, serveLlms } from "../support/scripted-llm.ts";

let served: LlmServer;
let client: OpenAI;
beforeAll(async () => {
  served = await serveLlms();
  client = new OpenAI({ baseURL: `${served.server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(() => served[Symbol.asyncDispose]());

const user = (content: string) => [{ role: "user" as const, content }];
const tools = [{ type: "function" as const, function: { name: "weather", parameters: {} } }];

describe("the openai package", () => {
  it("completes a chat, with the request id it reads from the header", async () => {
    const answer = await client.chat.completions.create({ model: "echo", messages: user("hi") });
    expect(answer.choices[0]!.message.content).toBe("Echo: hi");
    expect(answer.usage?.total_tokens).toBe(3);
    expect(answer.id).toBe(`chatcmpl-${answer._request_id}`);
  });

  it("streams a chat, and adds it up", async () => {
    const stream = client.chat.completions.stream({
      model: "echo",
      messages: user("hi there"),
      stream_options: { include_usage: true },
    });
    const deltas: string[] = [];
    stream.on("content", (delta) => deltas.push(delta));
    const { choices, usage } = await stream.finalChatCompletion();
    expect(deltas).toEqual(["Echo:", " hi", " there"]);
    expect(choices[0]!.message.content).toBe("Echo: hi there");
    expect(usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 3 });
  });

  it("reads tool calls, whole and streamed", async () => {
    const body = { model: "scripted", messages: user("tools"), tools };
    const whole = await client.chat.completions.create(body);
    const added = await client.chat.completions.stream(body).finalChatCompletion();
    for (const { message, finish_reason } of [whole.choices[0]!, added.choices[0]!]) {
      expect(finish_reason).toBe("tool_calls");
      expect(message.tool_calls).toMatchObject([
        { id: "call_1", function: { name: "weather", arguments: '{"city":"Rome"}' } },
        { id: "call_2", function: { name: "time", arguments: "{}" } },
      ]);
    }
  });

  it("completes text, makes embeddings, lists models", async () => {
    const { choices } = await client.completions.create({ model: "echo", prompt: ["a", "b"] });
    expect(choices.map(({ text }) => text)).toEqual(["Echo: a", "Echo: b"]);
    const { data } = await client.embeddings.create({ model: "scripted", input: "four" });
    expect(data[0]!.embedding).toEqual([...Float32Array.of(4, 0.1, -1e-9)]);
    const names = await Array.fromAsync(client.models.list(), ({ id }) => id);
    expect(names).toEqual(["echo", "scripted"]);
    expect((await client.models.retrieve("echo")).id).toBe("echo");
  });

  it("throws its own errors", async () => {
    const ask = (model: string, content: string) =>
      client.chat.completions.create({ model, messages: user(content) });
    await expect(ask("nobody", "hi")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(ask("nobody", "hi")).rejects.toMatchObject({ code: "model_not_found", param: "model" });
    await expect(ask("scripted", "refuse")).rejects.toBeInstanceOf(OpenAI.RateLimitError);
    const stream = await client.chat.completions.create({
      model: "scripted",
      messages: user("breaks"),
      stream: true,
    });
    const read: string[] = [];
    const readAll = async () => {
      for await (const { choices } of stream) read.push(choices[0]?.delta.content ?? "");
    };
    await expect(readAll()).rejects.toThrow(/The upstream broke off/);
    expect(read).toEqual(["one"]);
  });

  it("does not ask again for what a model cannot do", async () => {
    let asked = 0;
    const counting: typeof fetch = (url, init) => {
      asked += 1;
      return fetch(url, init);
    };
    const patient = new OpenAI({ baseURL: client.baseURL, apiKey: "none", maxRetries: 2, fetch: counting });
    const work = patient.embeddings.create({ model: "echo", input: "a" });
    await expect(work).rejects.toMatchObject({ status: 501, code: "unsupported" });
    expect(asked).toBe(1);
  });

  it("stops the model when it leaves a stream, and when it gives up waiting", async () => {
    const before = script.aborted;
    const body = { model: "scripted", messages: user("forever"), stream: true as const };
    for await (const _ of await client.chat.completions.create(body)) break;
    await eventually(() => script.aborted === before + 1);
    const leaving = new AbortController();
    const waiting = client.chat.completions.create(
      { model: "scripted", messages: user("silent") },
      { signal: leaving.signal },
    );
    const refused = expect(waiting).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    setTimeout(() => leaving.abort(), 50);
    await refused;
    await eventually(() => script.aborted === before + 2);
  });
});
