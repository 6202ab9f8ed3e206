import { describe, expect, it, vi } from "vitest";
import echo from "../../adapters/echo.ts";
import type { CapLLM, ChatRequest, Part, Sampling } from "../../src/contracts/index.ts";
import { adapterContract, collect, testCall, testHost } from "../../src/testing/index.ts";

const spec = { name: "dummy-model", version: "1", folder: "/nowhere" };

function ask(content: string, sampling: Sampling = {}): ChatRequest {
  return { messages: [{ role: "user", content }], sampling };
}

async function load(delay_ms = 0): Promise<CapLLM> {
  return echo.load(spec, { delay_ms }, testHost(), testCall());
}

async function answer(request: ChatRequest): Promise<Part[]> {
  await using llm = await load();
  return collect(llm.streamTokens(request, testCall()));
}

function text(parts: readonly Part[]): string {
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}

describe.each([0, 1])("contract with a delay of %i ms", (delay_ms) => {
  const cases = adapterContract(echo, {
    options: { delay_ms },
    model: () => spec,
    request: () => ask("is there anybody out there"),
    choices: 3,
    badRequest: () => ({ messages: [{ role: "system", content: "be kind" }], sampling: {} }),
  });
  for (const { name, run } of cases) it(name, run);
});

describe("what it cannot do", () => {
  it.each([
    ["tools", { tools: [{}] }],
    ["response_format", { responseFormat: { type: "json_object" } }],
    ["logprobs", { extra: { logprobs: true } }],
    ["logit_bias", { extra: { logit_bias: { 50256: -100 } } }],
  ])("is refused: %s", async (param, request) => {
    const message = `'${param}' has no effect with the adapter 'echo', so it is refused: leave it out`;
    await expect(answer({ ...ask("hi"), ...request })).rejects.toMatchObject({
      ...{ code: "UNSUPPORTED", param, message },
    });
  });
});

describe("answer", () => {
  it("is the last user message, word by word", async () => {
    const messages = [
      { role: "system", content: "be kind" },
      { role: "user", content: "first" },
      { role: "assistant", content: "Echo: first" },
      { role: "user", content: "good  morning\n" },
    ] as const;
    expect(await answer({ messages, sampling: {} })).toEqual([
      { type: "text", choice: 0, text: "Echo:" },
      { type: "text", choice: 0, text: " good" },
      { type: "text", choice: 0, text: "  morning\n" },
      { type: "finish", choice: 0, reason: "stop", usage: { inputTokens: 7, outputTokens: 3 } },
    ]);
  });

  it("takes a prompt, and the text of content parts", async () => {
    expect(text(await answer({ prompt: " as it is ", sampling: {} }))).toBe("Echo:  as it is ");
    const content = [
      { type: "text", text: "look at" },
      { type: "image_url", image_url: { url: "data:," } },
      { type: "text", text: " this" },
    ];
    expect(text(await answer({ messages: [{ role: "user", content }], sampling: {} }))).toBe(
      "Echo: look at this",
    );
  });

  it.each(["", " ", "日本 語 😀", "\ta\n\nb "])("to %j keeps every character", async (content) => {
    expect(text(await answer(ask(content)))).toBe(`Echo: ${content}`);
  });

  it.each([
    ["a limit", { maxTokens: 2 }, "Echo: one", "length", 2],
    ["a limit of all words", { maxTokens: 4 }, "Echo: one two three", "stop", 4],
    ["a stop sequence across words", { stop: ["e two t"] }, "Echo: on", "stop", 2],
    ["the first of several stop sequences", { stop: ["three", "", "two"] }, "Echo: one ", "stop", 2],
    ["a stop sequence beyond the limit", { stop: ["three"], maxTokens: 3 }, "Echo: one two", "length", 3],
    ["a stop sequence at the start", { stop: ["Echo"] }, "", "stop", 0],
  ] as const)("ends at %s", async (_what, sampling, wanted, reason, outputTokens) => {
    const parts = await answer(ask("one two three", sampling));
    expect(text(parts)).toBe(wanted);
    expect(parts.at(-1)).toMatchObject({ reason, usage: { inputTokens: 3, outputTokens } });
  });

  it("gives choices in turn", async () => {
    const parts = await answer({ ...ask("you"), n: 2 });
    const order = parts.map(({ type, choice }) => `${type} ${choice}`);
    expect(order).toEqual(["text 0", "text 1", "text 0", "text 1", "finish 0", "finish 1"]);
  });
});

describe("delay", () => {
  it("is never negative", () => {
    expect(echo.options.safeParse({ delay_ms: -1 }).success).toBe(false);
  });

  it("leaves no timer behind when aborted", async () => {
    await using llm = await load(3_600_000);
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    const controller = new AbortController();
    const reason = new Error("gone");
    const work = collect(llm.streamTokens(ask("hello"), testCall({ signal: controller.signal })));
    await vi.waitFor(() => expect(timers()).toBe(before + 1));
    controller.abort(reason);
    await expect(work).rejects.toBe(reason);
    expect(timers()).toBe(before);
  });
});
