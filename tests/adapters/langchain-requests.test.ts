import { describe, expect, it } from "vitest";
import type { ChatRequest, Message } from "../../src/contracts/index.ts";
import { App, answer, CHAIN, GRAPH, graph, kinds, refused, runnable } from "./langchain-fakes.ts";
import { ask, Speaker, says, textOf, toolCall } from "./llamaindex-fakes.ts";

const CONVERSATION: readonly Message[] = [
  { role: "system", content: "Be kind." },
  { role: "user", content: "I am Ada." },
  { role: "assistant", content: "", toolCalls: [{ id: "c1", name: "note", arguments: '{"name":"Ada"}' }] },
  { role: "tool", content: "done", toolCallId: "c1", name: "note" },
  { role: "assistant", content: "", toolCalls: [{ id: "c2", name: "note", arguments: "not json" }] },
  {
    role: "user",
    content: [
      { type: "text", text: "What is this?" },
      { type: "image_url", image_url: { url: "data:,x" } },
    ],
  },
];

describe("what a model is asked", () => {
  it("is the whole conversation, with images, tool calls and their answers", async () => {
    const writer = new Speaker("A cat.");
    await answer(GRAPH, { messages: CONVERSATION, sampling: {} }, {}, writer);
    expect(writer.requests[0]!.messages).toEqual(CONVERSATION);
  });

  it("has the request's sampling, without its stop sequences, and what the application sets", async () => {
    const writer = new Speaker("yes");
    const request = { ...says("hi"), sampling: { temperature: 0.2, maxTokens: 9, stop: ["x"] } };
    await answer(CHAIN, request, {}, writer);
    expect(writer.requests[0]!.sampling).toEqual({ temperature: 0.2, maxTokens: 9 });
    const own = CHAIN.replace("pipe(llm)", "pipe(llm.withConfig({ temperature: 0, stop: ['.'] }))");
    await answer(own, request, {}, writer);
    expect(writer.requests[1]!.sampling).toEqual({ temperature: 0, maxTokens: 9, stop: ["."] });
  });

  it("has tools as OpenAI defines them, and the choice of one", async () => {
    const writer = new Speaker(toolCall("pick", '{"n":7}'));
    const code = runnable(`
import { z } from "zod";
export default ({ llm, config }) =>
  llm.withStructuredOutput(z.object({ n: z.number() }), { name: "pick" }).pipe(({ n }) => "n is " + n);`);
    expect(textOf(await answer(code, "hi", { input: "messages" }, writer))).toBe("n is 7");
    expect(writer.requests[0]!.tools).toMatchObject([
      { type: "function", function: { name: "pick", parameters: { properties: { n: { type: "number" } } } } },
    ]);
    const bind = (choice: string) =>
      runnable(`export default ({ llm }) => llm.bindTools([{ type: "function", function: { name: "a" } }], {
        tool_choice: ${choice}, response_format: { type: "json_object" } });`);
    const given = ['"any"', '"auto"', '"a"', '{ type: "function", function: { name: "b" } }'];
    for (const choice of given) await answer(bind(choice), "hi", { input: "messages" }, writer);
    expect(writer.requests.slice(1).map(({ toolChoice }) => toolChoice)).toEqual([
      "required",
      "auto",
      { type: "function", function: { name: "a" } },
      { type: "function", function: { name: "b" } },
    ]);
    expect(writer.requests.at(-1)!.responseFormat).toEqual({ type: "json_object" });
  });

  it("is LangChain's own message kinds in the roles there are", async () => {
    const writer = new Speaker("yes");
    const code = runnable(`
import { ChatMessage } from "@langchain/core/messages";
export default ({ llm }) => RunnableLambda.from(() => llm.invoke([
  new ChatMessage({ role: "assistant", content: "a" }), new ChatMessage({ role: "critic", content: "b" }),
  new AIMessage({ content: [{ type: "text", text: "c" }, { type: "reasoning", reasoning: "hm" }] }),
  new HumanMessage({ content: [{ type: "image", data: "AA==", mimeType: "image/gif" }, { type: "image", url: "http://x/y" }] }),
]));`);
    await answer(code, "hi", {}, writer);
    expect(writer.requests[0]!.messages).toEqual([
      { role: "assistant", content: "a" },
      { role: "system", content: "b" },
      { role: "assistant", content: "c" },
      {
        role: "user",
        content: [
          { type: "image_url", image_url: { url: "data:image/gif;base64,AA==" } },
          { type: "image_url", image_url: { url: "http://x/y" } },
        ],
      },
    ]);
  });

  it("may be vectors of texts", async () => {
    await using app = await App.create(`
import { RunnableLambda } from "@langchain/core/runnables";
export default ({ embed, config }) => RunnableLambda.from(async (text) =>
  JSON.stringify([await embed.embedQuery(text), await embed.embedDocuments([text, "b"]), config]));`);
    const counts = {
      embed: async (texts: readonly string[]) => texts.map(({ length }) => Float32Array.of(length, 1)),
    };
    const llm = await app.load({ embed: "capstan:counts", config: { k: 1 } }, { counts });
    expect(textOf(await ask(llm, "four"))).toBe('[[4,1],[[4,1],[1,1]],{"k":1}]');
  });
});

describe("what an application takes", () => {
  it("is found from its shape", async () => {
    const show = "RunnableLambda.from((v) => JSON.stringify(v))";
    const seen = async (code: string, request: ChatRequest | string = "hi", options = {}) =>
      textOf(await answer(runnable(code), request, options));
    expect(await seen(`export default ${show};`)).toBe('"hi"');
    expect(await seen(`export default ${show};`, "hi", { input: { key: "q" } })).toBe('{"q":"hi"}');
    const prompt = (template: string) => `export default ${template}.pipe((v) => v.toString());`;
    expect(await seen(prompt('PromptTemplate.fromTemplate("Say {x}")'))).toBe("Say hi");
    const history =
      'ChatPromptTemplate.fromMessages([new MessagesPlaceholder("past"), ["human", "Now {q}"]])';
    const past = { messages: [...CONVERSATION.slice(1, 2), ...says("And now").messages!], sampling: {} };
    expect(await seen(prompt(history), past)).toBe("Human: I am Ada.\nHuman: Now And now");
    const all = 'ChatPromptTemplate.fromMessages([new MessagesPlaceholder("messages")])';
    expect(await seen(prompt(all), past)).toBe("Human: I am Ada.\nHuman: And now");
    expect(await seen(prompt(all), { prompt: "Go on", sampling: {} })).toBe("Human: Go on");
  });

  it("is what the state of a graph says", async () => {
    const state = "Annotation.Root({ question: Annotation(), answer: Annotation() })";
    const nodes = `.addNode("a", ({ question }) => ({ answer: "to " + question })).addEdge("__start__", "a")`;
    const parts = await answer(graph(nodes, state).replace("llm, ", ""), "hi");
    expect(kinds(parts)).toEqual(["step", "text", "finish"]);
    expect(textOf(parts)).toBe("to hi");
    expect(parts.at(-1)).toMatchObject({ usage: { inputTokens: 1, outputTokens: 1 } });
  });

  it("may be anything, as the caller's input", async () => {
    const state = "Annotation.Root({ city: Annotation(), days: Annotation() })";
    const nodes = `.addNode("a", ({ days }) => ({ days: days + 1 })).addEdge("__start__", "a")`;
    const code = graph(nodes, state).replace("llm, ", "");
    const request = (extra: object) => ({ ...says("hi"), extra: extra as Record<string, unknown> });
    expect(textOf(await answer(code, request({ input: { city: "Rome", days: 2 } })))).toBe(
      '{"city":"Rome","days":3}',
    );
    expect(textOf(await answer(code, request({ inputs: { days: 4 } }), { output: "days" }))).toBe("5");
    await refused(
      answer(code, "hi"),
      "INVALID_ARGUMENT",
      /takes city, days: send an object with them as 'input'/,
    );
  });

  it("has what the settings configure, of which a request may replace the values", async () => {
    const code = runnable(
      "export default RunnableLambda.from((_, { configurable: { thread_id: _id, ...c } }) => JSON.stringify(c));",
    );
    const options = { configurable: { tone: "kind" } };
    const extra = { config: { configurable: { tone: "short", other: 1, thread_id: "x" } } };
    expect(textOf(await answer(code, "hi", options))).toBe('{"tone":"kind"}');
    expect(textOf(await answer(code, { ...says("hi"), extra }, options))).toBe('{"tone":"short"}');
  });

  it("is one answer, without tools and formats of the caller", async () => {
    const code = runnable("export default RunnableLambda.from(() => 1);");
    const faulty = (request: object) => answer(code, { ...says("hi"), ...request });
    await refused(faulty({ n: 2 }), "INVALID_ARGUMENT", /'n' is 2/);
    await refused(faulty({ tools: [{}] }), "UNSUPPORTED", /its own tools/);
    await refused(faulty({ responseFormat: { type: "json_object" } }), "UNSUPPORTED", /response_format/);
    await refused(faulty({ extra: { logprobs: true } }), "UNSUPPORTED", /'logprobs'.*'langchain'/);
    expect(textOf(await faulty({ n: 1, tools: [], responseFormat: { type: "text" } }))).toBe("1");
  });

  it("has the caller's tools where it is a chat model", async () => {
    const writer = new Speaker(toolCall("go", "{}"));
    const tools = [{ type: "function", function: { name: "go", parameters: {} } }];
    const request = { ...says("hi"), tools, toolChoice: "required" };
    const parts = await answer(runnable("export default ({ llm }) => llm;"), request, {}, writer);
    expect(kinds(parts)).toEqual(["tool-call", "finish"]);
    expect(writer.requests[0]).toMatchObject({ tools, toolChoice: "required" });
    await answer(runnable("export default ({ llm }) => llm;"), { ...says("hi"), tools }, {}, writer);
    expect(writer.requests[1]!.toolChoice).toBeUndefined();
  });

  it("is never a command to a graph", async () => {
    const code = GRAPH.replace("({ llm }) => ", "").replace("[await llm.invoke(messages)]", "messages");
    const faulty = (extra: Record<string, unknown>) => answer(code, { ...says("hi"), extra });
    await refused(
      faulty({ input: { lg_name: "Command", goto: "x" } }),
      "INVALID_ARGUMENT",
      /'input' must be/,
    );
    await refused(faulty({ input: [{ lg_name: "Command" }] }), "INVALID_ARGUMENT", /'input' must be/);
    await refused(
      faulty({ resume: "yes" }),
      "INVALID_ARGUMENT",
      /'resume' needs a graph with a checkpointer/,
    );
  });
});
