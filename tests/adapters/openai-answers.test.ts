import { describe, expect, it } from "vitest";
import type { ChatRequest, Part } from "../../src/contracts/index.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { hello, load, text } from "../support/openai-adapter.ts";
import { chunk, DONE, event, OpenaiUpstream, packets, reply, usage } from "../support/openai-upstream.ts";

async function ask(upstream: OpenaiUpstream, request: ChatRequest = hello, options = {}): Promise<Part[]> {
  await using llm = await load({ base_url: upstream.origin, ...options });
  return await collect(llm.streamTokens(request, testCall()));
}

describe("request", () => {
  it("has the upstream's names, the caller's own fields, and asks for the usage", async () => {
    await using upstream = await OpenaiUpstream.start();
    const tools = [{ type: "function", function: { name: "weather" } }];
    const image = { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } };
    const messages = [
      { role: "system", content: "be kind" },
      { role: "user", content: [{ type: "text", text: "look" }, image], name: "ann" },
      { role: "assistant", content: "", toolCalls: [{ id: "c1", name: "weather", arguments: "{}" }] },
      { role: "tool", content: "rain", toolCallId: "c1" },
    ] as const;
    await ask(
      upstream,
      {
        messages,
        sampling: { maxTokens: 5, temperature: 0, topP: 0.9, topK: 4, minP: 0.1, seed: 3, stop: ["x"] },
        n: 2,
        tools,
        toolChoice: "auto",
        responseFormat: { type: "json_object" },
        session: "s",
        extra: { logprobs: true, model: "other", stream: false, stream_options: { more: 1 } },
      },
      { model: "served-name", api_key: "sk-secret", headers: { "X-Team": "blue" } },
    );
    const { url, headers, body } = upstream.requests[0]!;
    expect(url).toBe("/v1/chat/completions");
    expect(headers).toMatchObject({
      authorization: "Bearer sk-secret",
      "x-team": "blue",
      "x-request-id": "test",
    });
    expect(body).toEqual({
      model: "served-name",
      messages: [
        messages[0],
        messages[1],
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: "{}" } }],
        },
        { role: "tool", content: "rain", tool_call_id: "c1" },
      ],
      max_tokens: 5,
      temperature: 0,
      top_p: 0.9,
      top_k: 4,
      min_p: 0.1,
      seed: 3,
      stop: ["x"],
      n: 2,
      tools,
      tool_choice: "auto",
      response_format: { type: "json_object" },
      logprobs: true,
      stream: true,
      stream_options: { more: 1, include_usage: true },
    });
  });

  it("goes to an Azure deployment with its key and version", async () => {
    await using upstream = await OpenaiUpstream.start();
    await ask(upstream, hello, {
      base_url: `${upstream.origin}/openai/deployments/gpt/`,
      api_key: "",
      headers: { "api-key": "azure-secret" },
      query: { "api-version": "2024-10-21" },
      max_tokens_field: "max_completion_tokens",
      stream_usage: false,
    });
    const { url, headers, body } = upstream.requests[0]!;
    expect(url).toBe("/openai/deployments/gpt/chat/completions?api-version=2024-10-21");
    expect(headers["api-key"]).toBe("azure-secret");
    expect(headers).not.toHaveProperty("authorization");
    expect(body).not.toHaveProperty("stream_options");
    expect(body.model).toBe("gpt");
  });

  it("names the limit as the upstream wants it", async () => {
    await using upstream = await OpenaiUpstream.start();
    const options = { max_tokens_field: "max_completion_tokens" };
    await ask(upstream, { ...hello, sampling: { maxTokens: 3 } }, options);
    await ask(upstream, { prompt: "once", sampling: { maxTokens: 3 } }, options);
    expect(upstream.requests[0]!.body.max_completion_tokens).toBe(3);
    expect(upstream.requests[1]!.body.max_tokens).toBe(3);
  });

  it("continues a prompt with the completions API", async () => {
    const choice = (words: string, finish_reason: string | null = null) =>
      event({ choices: [{ index: 0, text: words, finish_reason }] });
    await using upstream = await OpenaiUpstream.start(
      packets(choice("upon"), choice(" a time", "length"), DONE),
    );
    const parts = await ask(upstream, { prompt: "once ", sampling: {} });
    expect(upstream.requests[0]).toMatchObject({ url: "/v1/completions", body: { prompt: "once " } });
    expect(text(parts)).toBe("upon a time");
    const estimated = { inputTokens: 2, outputTokens: 2 };
    expect(parts.at(-1)).toEqual({ type: "finish", choice: 0, reason: "length", usage: estimated });
  });

  it("needs messages or a prompt", async () => {
    await using upstream = await OpenaiUpstream.start();
    await expect(ask(upstream, { sampling: {} })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(upstream.requests).toEqual([]);
  });
});

describe("answer", () => {
  it("has reasoning, text with log probabilities, and the upstream's usage", async () => {
    const logprobs = { content: [{ token: "hi", logprob: -0.1 }] };
    await using upstream = await OpenaiUpstream.start(
      packets(
        chunk({ role: "assistant" }),
        chunk({ reasoning_content: "hm" }),
        chunk({ reasoning: "m" }),
        event({ choices: [{ index: 0, delta: { content: "hi" }, logprobs }] }),
        chunk({ content: [{ type: "text", text: " you" }] }),
        chunk({}, "stop"),
        usage(11, 22),
        DONE,
      ),
    );
    expect(await ask(upstream)).toEqual([
      { type: "reasoning", choice: 0, text: "hm" },
      { type: "reasoning", choice: 0, text: "m" },
      { type: "text", choice: 0, text: "hi", logprobs },
      { type: "text", choice: 0, text: " you" },
      { type: "finish", choice: 0, reason: "stop", usage: { inputTokens: 11, outputTokens: 22 } },
    ]);
  });

  it("puts tool calls together from their pieces", async () => {
    const piece = (index: number, fields: unknown) =>
      chunk({ tool_calls: [{ index, ...(fields as object) }] });
    await using upstream = await OpenaiUpstream.start(
      packets(
        piece(0, { id: "a", function: { name: "weather", arguments: "" } }),
        piece(0, { function: { arguments: '{"city":' } }),
        piece(1, { id: "b", function: { name: "time" } }),
        piece(0, { function: { arguments: '"Bonn"}' } }),
        chunk({}, "tool_calls"),
        DONE,
      ),
    );
    const parts = await ask(upstream);
    expect(parts.slice(0, 2)).toEqual([
      { type: "tool-call", choice: 0, call: { id: "a", name: "weather", arguments: '{"city":"Bonn"}' } },
      { type: "tool-call", choice: 0, call: { id: "b", name: "time", arguments: "{}" } },
    ]);
    expect(parts[2]).toMatchObject({ type: "finish", reason: "tool_calls", usage: { outputTokens: 4 } });
  });

  it("takes whole tool calls without an index or with one index for all", async () => {
    const call = (id: string, fields = {}) => ({
      id,
      function: { name: id, arguments: { x: 1 } },
      ...fields,
    });
    const shared = { index: 0 };
    await using upstream = await OpenaiUpstream.start(
      packets(
        chunk({ tool_calls: [call("a"), call("b")] }),
        chunk({ tool_calls: [call("c", shared)] }),
        chunk({ tool_calls: [call("d", shared), { function: { name: "e" } }] }),
        DONE,
      ),
    );
    const calls = (await ask(upstream)).flatMap((part) => (part.type === "tool-call" ? [part.call] : []));
    expect(calls.map(({ name }) => name)).toEqual(["a", "b", "c", "d", "e"]);
    expect(calls[0]!.arguments).toBe('{"x":1}');
    expect(calls[4]!.id).toMatch(/^call_/);
  });

  it("divides the usage among choices", async () => {
    await using upstream = await OpenaiUpstream.start(
      packets(
        chunk({ content: "a" }, null, 0),
        chunk({ content: "b" }, null, 1),
        chunk({ content: "c" }, "length", 1),
        chunk({ content: "nobody asked" }, "stop", 2),
        chunk({}, "content_filter", 0),
        usage(5, 10),
        DONE,
      ),
    );
    const parts = await ask(upstream, { ...hello, n: 2 });
    expect(parts.slice(-2)).toEqual([
      { type: "finish", choice: 0, reason: "content_filter", usage: { inputTokens: 5, outputTokens: 3 } },
      { type: "finish", choice: 1, reason: "length", usage: { inputTokens: 5, outputTokens: 7 } },
    ]);
  });

  it("may come whole from an upstream that does not stream", async () => {
    const message = { content: "four words of text", tool_calls: [{ id: "a", function: { name: "f" } }] };
    await using upstream = await OpenaiUpstream.start(
      reply(200, { choices: [{ message, finish_reason: "eos" }] }),
    );
    expect(await ask(upstream)).toMatchObject([
      { type: "text", text: "four words of text" },
      { type: "tool-call", call: { id: "a" } },
      { type: "finish", reason: "stop", usage: { inputTokens: 2, outputTokens: 6 } },
    ]);
  });
});
