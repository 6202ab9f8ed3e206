import { describe, expect, it, vi } from "vitest";
import {
  type CapLLM,
  CapstanError,
  type ChatRequest,
  type Message,
  type Part,
  type Turn,
} from "../../src/contracts/index.ts";
import { answerOf, askedOf, continued } from "../../src/host/memory/history.ts";
import { Memories } from "../../src/host/memory/memories.ts";
import { tokenCounter } from "../../src/host/memory/tokens.ts";
import { collect, testCall } from "../../src/testing/index.ts";

const user = (content: Message["content"]): Message => ({ role: "user", content });
const assistant = (content: string): Message => ({ role: "assistant", content });
const system = (content: string): Message => ({ role: "system", content });
const turn = (...messages: Message[]): Turn => ({ id: "1", at: 1, messages });
const sent = (turns: Turn[], ...messages: Message[]) =>
  continued(askedOf({ messages, sampling: {} })!, turns).messages;

describe("a request with what is remembered", () => {
  const remembered = [
    turn(system("be kind"), user("one"), assistant("1")),
    turn(user("two"), assistant("2")),
  ];

  it("is that, and what is new", () => {
    expect(sent(remembered, user("three"))).toEqual([
      ...[user("one"), assistant("1"), user("two"), assistant("2"), user("three")],
    ]);
  });

  it("takes messages for alike that have their text in parts, and others not", () => {
    const parts = user([
      { type: "text", text: "tw" },
      { type: "text", text: "o" },
    ]);
    expect(sent(remembered, parts, assistant("2"), user("three"))).toHaveLength(5);
    const image = user([{ type: "image_url", image_url: { url: "data:" } }]);
    expect(sent(remembered, image, assistant("2"), user("three"))).toHaveLength(3);
    const shown = [turn(image, assistant("a cat"))];
    expect(sent(shown, image, assistant("a cat"), user("sure?"))).toHaveLength(3);
  });

  it("keeps an answer that the model is to go on with", () => {
    const asked = askedOf({ messages: [user("one"), assistant("The ans")], sampling: {} })!;
    expect(asked).toEqual({ instructions: [], past: [], fresh: [user("one"), assistant("The ans")] });
  });

  it("may be of instructions alone, and is none without messages", () => {
    expect(askedOf({ messages: [system("be kind")], sampling: {} })!.instructions).toHaveLength(1);
    expect(askedOf({ messages: [], sampling: {} })).toBeUndefined();
    expect(askedOf({ messages: "hi" as unknown as Message[], sampling: {} })).toBeUndefined();
    expect(askedOf({ sampling: {} })).toBeUndefined();
  });

  it("is remembered with the tools that were called", () => {
    const toolCalls = [{ id: "c", name: "n", arguments: "{}" }];
    expect(answerOf({ text: "", toolCalls, reason: "tool_calls" })).toEqual({
      role: "assistant",
      content: "",
      toolCalls,
    });
    expect(answerOf({ text: "a", toolCalls: [], reason: "stop" })).toEqual(assistant("a"));
  });
});

describe("tokens", () => {
  const llm = (tokenize?: CapLLM["tokenize"]): CapLLM => ({
    streamTokens: () => {
      throw new Error("nobody asked");
    },
    ...(tokenize && { tokenize }),
    async [Symbol.asyncDispose]() {},
  });

  it("are counted by the model where it can, else four characters each", async () => {
    expect(await tokenCounter(llm(async () => [1, 2, 3]))("abcd", testCall())).toBe(3);
    expect(await tokenCounter(llm())("abcde", testCall())).toBe(2);
    const lacking = llm(() => Promise.reject(new CapstanError("UNSUPPORTED", "it does not tell")));
    expect(await tokenCounter(lacking)("abcde", testCall())).toBe(2);
    const broken = llm(() => Promise.reject(new CapstanError("UPSTREAM", "broken")));
    await expect(tokenCounter(broken)("abcde", testCall())).rejects.toThrow("broken");
  });
});

describe("the layer", () => {
  const finish: Part = {
    type: "finish",
    choice: 0,
    reason: "stop",
    usage: { inputTokens: 1, outputTokens: 1 },
  };
  const streamTokens = vi.fn(async function* (_: ChatRequest) {
    yield { type: "text" as const, choice: 0, text: "streamed" };
    yield finish;
  });
  const whole = { choices: [{ text: "whole", toolCalls: [], reason: "stop" as const }], usage: finish.usage };
  const predictText = vi.fn(async () => whole);
  const llm: CapLLM = { streamTokens, predictText, async [Symbol.asyncDispose]() {} };
  const model = (memory: unknown) =>
    ({ name: "m", version: "1", extra: { memory }, maxBatchSize: 0 }) as never;
  const memories = () => new Memories({ named: {}, folder: ".", memoryOf: () => undefined });
  const request = { messages: [user("hi")], sampling: {} };

  it("is not there for a model without memory", async () => {
    await using none = memories();
    expect(none.layer(llm, model(undefined))).toBe(llm);
  });

  it("leaves requests without a session alone, and folds the stream of those with one", async () => {
    await using some = memories();
    const remembering = some.layer(llm, model({ store: "in-process" }));
    expect(await remembering.predictText!(request, testCall())).toBe(whole);
    expect(remembering.streamTokens(request, testCall())).toBe(streamTokens.mock.results.at(-1)!.value);
    const answer = await remembering.predictText!({ ...request, session: "s" }, testCall());
    expect(answer.choices[0]!.text).toBe("streamed");
    const again = { ...request, prompt: "and?", messages: undefined, session: "s" };
    await collect(remembering.streamTokens(again, testCall({ requestId: "2" })));
    expect(streamTokens.mock.lastCall![0]).not.toHaveProperty("prompt");
    expect(streamTokens.mock.lastCall![0].messages).toEqual([
      user("hi"),
      assistant("streamed"),
      user("and?"),
    ]);
  });

  it("gives nobody another's session", async () => {
    await using some = new Memories({ named: {}, folder: ".", memoryOf: () => ({ store: "in-process" }) });
    const remembering = some.layer(llm, model({ store: "in-process" }));
    const as = (id: string) => testCall({ principal: { id, role: "user", admin: id === "ann" } });
    await collect(remembering.streamTokens({ ...request, session: "s" }, as("bob")));
    await collect(remembering.streamTokens({ ...request, session: "s" }, as("ann")));
    expect(streamTokens.mock.lastCall![0].messages).toEqual([user("hi")]);
    await some.clear("m", "s", as("ann"));
    expect(await some.sessions("m", as("ann"))).toEqual([]);
    expect(await some.turns("m", "s", as("bob"))).toHaveLength(1);
    expect(await some.turns("m", "s", testCall())).toEqual([]);
  });

  it("hands on what the model is to refuse", async () => {
    await using some = memories();
    const faulty = { sampling: {}, session: "s" };
    await collect(some.layer(llm, model({ store: "in-process" })).streamTokens(faulty, testCall()));
    expect(streamTokens.mock.lastCall![0]).toEqual(faulty);
  });

  it("cannot be made of a memory that is not there", () => {
    expect(() => memories().layer(llm, model("chats"))).toThrow(/there is no 'chats'/);
  });
});
