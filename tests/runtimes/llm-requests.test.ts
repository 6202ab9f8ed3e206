import { describe, expect, it } from "vitest";
import type { ChatRequest } from "../../src/contracts/index.ts";
import { ask, finish, scripted, seen } from "./llm-fakes.ts";

/** What the adapter is asked when a caller asks this. */
async function forwarded(request: ChatRequest, options: Record<string, unknown> = {}) {
  const adapter = scripted([finish()]);
  await seen(adapter, request, options);
  return adapter.trace.requests[0];
}

describe("defaults", () => {
  const sampling = { max_tokens: 50, temperature: 0.2, stop: ["a"] };

  it("are for what a request does not say", async () => {
    const request = await forwarded(ask("x", { temperature: 1, topK: 4 }), { sampling });
    expect(request?.sampling).toEqual({ maxTokens: 50, temperature: 1, topK: 4, stop: ["a"] });
    const replaced = await forwarded(ask("x", { stop: [], maxTokens: undefined }), { sampling });
    expect(replaced?.sampling).toEqual({ maxTokens: 50, temperature: 0.2, stop: [] });
  });

  it("of a limited output are the limit", async () => {
    expect((await forwarded(ask("x"), { max_output: 9 }))?.sampling).toEqual({ maxTokens: 9 });
    const both = await forwarded(ask("x"), { max_output: 90, sampling });
    expect(both?.sampling.maxTokens).toBe(50);
    await expect(forwarded(ask("x", { maxTokens: 10 }), { max_output: 9 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      param: "max_tokens",
      message: "'max_tokens' is 10, and this model gives at most 9; ask for fewer",
    });
  });

  it("change nothing else", async () => {
    const request = { ...ask("x"), tools: [{}], toolChoice: "auto", session: "s", extra: { a: 1 } };
    expect(await forwarded(request)).toEqual(request);
    expect(await forwarded({ prompt: "x", sampling: {} })).toEqual({ prompt: "x", sampling: {} });
  });
});

describe("a request", () => {
  const message = { role: "user", content: "x" };

  it.each([
    ["messages", {}],
    ["messages", { prompt: "x", messages: [message] }],
    ["messages", { messages: [] }],
    ["messages", { messages: "hello" }],
    ["prompt", { prompt: 4 }],
    ["messages[0]", { messages: [null] }],
    ["messages[1].role", { messages: [message, { role: "robot", content: "x" }] }],
    ["messages[0].content", { messages: [{ role: "user", content: 4 }] }],
    ["messages[0].content", { messages: [{ role: "user" }] }],
    ["messages[0].content", { messages: [{ role: "user", content: [null] }] }],
    ["messages[0].content", { messages: [{ role: "user", content: [{ text: "x" }] }] }],
    ["messages[0].content", { messages: [{ role: "user", content: [{ type: "text" }] }] }],
    ["n", { prompt: "x", n: 0 }],
    ["n", { prompt: "x", n: 17 }],
    ["n", { prompt: "x", n: 1.5 }],
  ])("is refused for %s: %j", async (param, fields) => {
    const request = { sampling: {}, ...fields } as unknown as ChatRequest;
    await expect(forwarded(request)).rejects.toMatchObject({ code: "INVALID_ARGUMENT", param });
  });

  it.each([
    ["max_tokens", { maxTokens: 0 }],
    ["max_tokens", { maxTokens: 1.5 }],
    ["temperature", { temperature: -0.1 }],
    ["temperature", { temperature: 2.1 }],
    ["temperature", { temperature: Number.NaN }],
    ["temperature", { temperature: "1" }],
    ["top_p", { topP: 0 }],
    ["top_p", { topP: 1.1 }],
    ["top_k", { topK: -2 }],
    ["min_p", { minP: 2 }],
    ["seed", { seed: 0.5 }],
    ["frequency_penalty", { frequencyPenalty: 3 }],
    ["presence_penalty", { presencePenalty: -3 }],
    ["repeat_penalty", { repeatPenalty: 0 }],
    ["stop", { stop: "end" }],
    ["stop", { stop: [""] }],
    ["stop", { stop: ["x".repeat(1025)] }],
    ["stop", { stop: Array.from({ length: 17 }, (_, index) => `s${index}`) }],
  ])("is refused for %s: %j", async (param, sampling) => {
    const request = ask("x", sampling as unknown as ChatRequest["sampling"]);
    await expect(forwarded(request)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      param,
      message: expect.stringMatching(new RegExp(`^'${param}' is .*; it must be `)),
    });
  });

  it("may be at every limit", async () => {
    const sampling = {
      ...{ maxTokens: 1, temperature: 2, topP: 1, topK: 0, minP: 1, seed: -1, repeatPenalty: 0.5 },
      ...{
        frequencyPenalty: -2,
        presencePenalty: 2,
        stop: Array.from({ length: 16 }, (_, index) => `s${index}`),
      },
    };
    expect((await forwarded(ask("x", sampling)))?.sampling).toEqual(sampling);
  });
});
