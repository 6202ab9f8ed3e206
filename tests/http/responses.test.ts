import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { eventsOf, type LlmServer, script, serveLlms } from "../support/scripted-llm.ts";
import type { TestServer } from "../support/server.ts";

let served: LlmServer;
let server: TestServer;
let client: OpenAI;
beforeAll(async () => {
  served = await serveLlms();
  server = served.server;
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(() => served[Symbol.asyncDispose]());

const create = (body: object) => server.post("/v1/responses", { model: "scripted", ...body });

async function events(body: object) {
  const response = await server.request("/v1/responses", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "scripted", stream: true, ...body }),
  });
  return eventsOf(await response.text()).map(({ data }) => JSON.parse(data) as Record<string, unknown>);
}

describe("a response", () => {
  it("is what the model says, as the SDK reads it", async () => {
    const response = await client.responses.create({ model: "echo", input: "a b", metadata: { k: "v" } });
    expect(response.output_text).toBe("Echo: a b");
    expect(response).toMatchObject({
      object: "response",
      status: "completed",
      model: "echo",
      metadata: { k: "v" },
      usage: { input_tokens: 2, output_tokens: 3, total_tokens: 5 },
      output: [{ type: "message", role: "assistant", content: [{ type: "output_text", annotations: [] }] }],
    });
  });

  it("carries instructions, tools, formats and items to the model in its own words", async () => {
    const { body } = await create({
      instructions: "Be brief",
      input: [
        { role: "user", content: [{ type: "input_text", text: "one" }] },
        { type: "reasoning", id: "rs_1", summary: [] },
        { role: "assistant", content: [{ type: "output_text", text: "two" }] },
        { type: "function_call", call_id: "c1", name: "f", arguments: "{}" },
        { type: "function_call_output", call_id: "c1", output: "3" },
        { role: "user", content: [{ type: "input_image", image_url: "data:," }] },
        { role: "developer", content: "seen" },
      ],
      tools: [{ type: "function", name: "f", parameters: {} }],
      tool_choice: { type: "function", name: "f" },
      text: { format: { type: "json_schema", name: "n", schema: {} } },
      reasoning: { effort: "low" },
      max_output_tokens: 5,
      top_p: 0.5,
      custom: 1,
    });
    const [{ content }] = (body as { output: [{ content: [{ text: string }] }] }).output;
    expect(JSON.parse(content[0].text)).toEqual({
      messages: [
        { role: "system", content: "Be brief" },
        { role: "user", content: [{ type: "text", text: "one" }] },
        {
          role: "assistant",
          content: [{ type: "text", text: "two" }],
          toolCalls: [{ id: "c1", name: "f", arguments: "{}" }],
        },
        { role: "tool", content: "3", toolCallId: "c1" },
        { role: "user", content: [{ type: "image_url", image_url: { url: "data:,", detail: "auto" } }] },
        { role: "system", content: "seen" },
      ],
      sampling: { maxTokens: 5, topP: 0.5 },
      tools: [{ type: "function", function: { name: "f", parameters: {} } }],
      toolChoice: { type: "function", function: { name: "f" } },
      responseFormat: { type: "json_schema", json_schema: { name: "n", schema: {} } },
      extra: { custom: 1, reasoning_effort: "low" },
    });
  });

  it("has reasoning, text and calls as items of their own", async () => {
    const thought = await create({ input: "think" });
    expect(thought.body).toMatchObject({
      output: [
        { type: "reasoning", content: [{ type: "reasoning_text", text: "Hm. Yes." }] },
        { type: "message" },
      ],
    });
    const called = await create({ input: "quiet" });
    expect(called.body).toMatchObject({
      output: [{ type: "function_call", call_id: "call_1", name: "weather", arguments: "{}" }],
    });
  });

  it("is incomplete where the answer was cut", async () => {
    const response = await client.responses.create({ model: "echo", input: "a b c", max_output_tokens: 2 });
    expect(response).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output_text: "Echo: a",
    });
  });

  it("goes on from another one", async () => {
    const first = await client.responses.create({
      model: "echo",
      instructions: "Be brief",
      input: "my name is X",
    });
    const { body } = await create({ input: "seen", previous_response_id: first.id });
    const [{ content }] = (body as { output: [{ content: [{ text: string }] }] }).output;
    expect(JSON.parse(content[0].text).messages).toEqual([
      { role: "user", content: "my name is X" },
      { role: "assistant", content: "Echo: my name is X" },
      { role: "user", content: "seen" },
    ]);
  });

  it.each([
    [{}, 400, "input"],
    [{ input: [] }, 400, "input"],
    [{ input: [{ role: "nobody", content: "x" }] }, 400, "input"],
    [{ input: [{ role: "user", content: [{ type: "input_image", file_id: "f" }] }] }, 400, "input"],
    [{ input: "x", tools: 3 }, 400, "tools"],
    [{ input: "x", background: true, stream: true }, 400, "background"],
    [{ input: "x", model: "nobody" }, 404, "model"],
  ])("refuses %j", async (fields, status, param) => {
    const answer = await create(fields);
    expect(answer.status).toBe(status);
    expect((answer.body as { error: { param: string } }).error.param).toContain(param);
  });

  it("with tools of OpenAI's own goes to an upstream that has them", async () => {
    const body = { input: "x", tools: [{ type: "web_search" }] };
    expect(await create(body)).toMatchObject({ status: 201, body: { route: "responses", body } });
    expect((await create({ ...body, model: "echo" })).status).toBe(501);
  });
});

describe("a streamed response", () => {
  it("is written item by item, as the SDK reads it", async () => {
    const stream = client.responses.stream({ model: "echo", input: "a b" });
    const deltas: string[] = [];
    stream.on("response.output_text.delta", ({ delta }) => deltas.push(delta));
    const final = await stream.finalResponse();
    expect(deltas).toEqual(["Echo:", " a", " b"]);
    expect(final).toMatchObject({ status: "completed", output_text: "Echo: a b" });
  });

  it("numbers its events, and has each item begin and end", async () => {
    const all = await events({ input: "tools" });
    expect(all.map(({ sequence_number }) => sequence_number)).toEqual(all.map((_, index) => index));
    expect(all.map(({ type }) => String(type).replace("response.", ""))).toEqual([
      ...["created", "in_progress"],
      ...["output_item.added", "content_part.added", "output_text.delta"],
      ...["output_text.done", "content_part.done", "output_item.done"],
      ...Array.from({ length: 2 }, () => [
        ...["output_item.added", "function_call_arguments.delta", "function_call_arguments.done"],
        "output_item.done",
      ]).flat(),
      "completed",
    ]);
    expect((await events({ input: "think" })).map(({ type }) => type)).toContain(
      "response.reasoning_text.done",
    );
  });

  it("ends with response.failed when the model breaks off", async () => {
    const all = await events({ input: "breaks" });
    expect(all.at(-1)).toMatchObject({
      type: "response.failed",
      response: { status: "failed", error: { message: "The upstream broke off" } },
    });
    const { id } = all.at(-1)!.response as { id: string };
    expect((await server.get(`/v1/responses/${id}`)).body).toMatchObject({ status: "failed" });
  });

  it("is cancelled when its reader leaves", async () => {
    const stream = await client.responses.create({ model: "scripted", input: "forever", stream: true });
    let id = "";
    for await (const event of stream) {
      if (event.type === "response.created") id = event.response.id;
      if (event.type === "response.output_text.delta") break;
    }
    await eventually(async () => (await client.responses.retrieve(id)).status === "cancelled");
  });
});

describe("a kept response", () => {
  it("can be read and deleted", async () => {
    const { id } = await client.responses.create({ model: "echo", input: "x" });
    expect(await client.responses.retrieve(id)).toMatchObject({ id, output_text: "Echo: x" });
    await client.responses.delete(id);
    await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });

  it("is not kept where the caller does not want it", async () => {
    const { id } = await client.responses.create({ model: "echo", input: "x", store: false });
    await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });

  it("is made in the background, and can be cancelled", async () => {
    const done = await client.responses.create({ model: "echo", input: "x", background: true });
    expect(done.status).toBe("in_progress");
    await eventually(async () => (await client.responses.retrieve(done.id)).output_text === "Echo: x");
    const before = script.aborted;
    const endless = await client.responses.create({ model: "scripted", input: "forever", background: true });
    expect(await client.responses.cancel(endless.id)).toMatchObject({ status: "cancelled" });
    await eventually(() => script.aborted === before + 1);
    expect(await client.responses.retrieve(endless.id)).toMatchObject({ status: "cancelled" });
    expect(await client.responses.cancel(done.id)).toMatchObject({ status: "completed" });
  });
});
