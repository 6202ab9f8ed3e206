import { describe, expect, it } from "vitest";
import { App, answer, CHAIN, graph, kinds, runnable, text } from "./langchain-fakes.ts";
import { ask, Speaker, says, steps, textOf, toolCall } from "./llamaindex-fakes.ts";

describe("what an application gives", () => {
  const stream = (...chunks: string[]) =>
    runnable(`export default { invoke() {}, async stream() { return (async function* () {
      ${chunks.map((chunk) => `yield ${chunk};`).join("\n")} })(); } };`);

  it("is text, messages, and objects with an answer, as they come", async () => {
    const texts = async (options: object, ...chunks: string[]) => {
      const parts = await answer(stream(...chunks), "hi", options);
      return parts.flatMap((part) => (part.type === "text" ? [part.text] : []));
    };
    expect(await texts({}, '"a"', '""', '"b"')).toEqual(["a", "b"]);
    expect(
      await texts({}, 'new AIMessageChunk({ id: "1", content: "a" })', 'new AIMessageChunk("b")'),
    ).toEqual(["a", "b"]);
    expect(await texts({}, "{ context: [1] }", '{ answer: "a" }', '{ answer: "b" }')).toEqual(["a", "b"]);
    expect(await texts({ output: "x" }, '{ x: "a" }', '{ answer: "b" }')).toEqual(["a"]);
    expect(await texts({}, '{ x: "a" }', '{ x: "b" }')).toEqual(['{"x":"ab"}']);
    expect(await texts({}, '{ result: new AIMessage("a") }')).toEqual(["a"]);
    expect(await texts({}, "[1]", "[2]")).toEqual(["[1,2]"]);
    expect(await texts({}, "true", "{ x: Symbol() }")).toEqual(["{}"]);
  });

  it("is JSON of a parser, once it is whole", async () => {
    const writer = new Speaker('{"a": [1, 2], "b": "c"}');
    const code = runnable(
      'export default ({ llm }) => PromptTemplate.fromTemplate("{x}").pipe(llm).pipe(new JsonOutputParser());',
    );
    expect(textOf(await answer(code, "hi", {}, writer))).toBe('{"a":[1,2],"b":"c"}');
    expect(textOf(await answer(code, "hi", { output: "b" }, new Speaker('{"a": 1, "b": "c"}')))).toBe("c");
  });

  it("is what a model thinks, and calls of tools that nobody ran", async () => {
    const writer = new Speaker([{ type: "reasoning", choice: 0, text: "Hm." }, ...toolCall("go", '{"x":1}')]);
    const parts = await answer(runnable("export default ({ llm }) => llm;"), "hi", {}, writer);
    expect(parts).toEqual([
      { type: "reasoning", choice: 0, text: "Hm." },
      { type: "tool-call", choice: 0, call: { id: "call_1", name: "go", arguments: '{"x":1}' } },
      { type: "finish", choice: 0, reason: "tool_calls", usage: { inputTokens: 5, outputTokens: 2 } },
    ]);
    const thinking = stream(
      'new AIMessageChunk({ content: [{ type: "thinking", thinking: "hm" }, { type: "text", text: "a" }] })',
    );
    expect(kinds(await answer(thinking, "hi"))).toEqual(["reasoning", "text", "finish"]);
  });

  it("ends as its last model call did", async () => {
    const usage = { inputTokens: 3, outputTokens: 1 };
    const cut = new Speaker([text("The"), { type: "finish", choice: 0, reason: "length", usage }]);
    expect((await answer(CHAIN, "hi", {}, cut)).at(-1)).toEqual({
      type: "finish",
      choice: 0,
      reason: "length",
      usage,
    });
  });

  it("counts what the application's own models tell", async () => {
    const own = (application: string) => `
import { FakeListChatModel } from "@langchain/core/utils/testing";
import { AIMessage, AIMessageChunk } from "@langchain/core/messages";
import { StringOutputParser } from "@langchain/core/output_parsers";
import { ChatGenerationChunk } from "@langchain/core/outputs";
import { PromptTemplate } from "@langchain/core/prompts";
import { MessagesAnnotation, StateGraph } from "@langchain/langgraph";
class Own extends FakeListChatModel {
  async *_streamResponseChunks(messages, options, run) {
    for (const fields of [{ content: "a" }, { content: "", usage_metadata: { input_tokens: 4, output_tokens: 1.5 }, response_metadata: { finish_reason: "length" } }]) {
      const chunk = new ChatGenerationChunk({ text: fields.content, message: new AIMessageChunk(fields) });
      yield chunk;
      await run?.handleLLMNewToken(fields.content, undefined, undefined, undefined, undefined, { chunk });
    }
  }
}
const llm = new Own({ responses: ["a"] });
export default ${application};`;
    const counted = { reason: "length", usage: { inputTokens: 4, outputTokens: 0 } };
    const chain = 'PromptTemplate.fromTemplate("{x}").pipe(llm).pipe(new StringOutputParser())';
    const node =
      '.addNode("a", async ({ messages }) => ({ messages: [await llm.invoke(messages)] })).addEdge("__start__", "a")';
    for (const application of [chain, `new StateGraph(MessagesAnnotation)${node}`]) {
      await using app = await App.create(own(application));
      const parts = await ask(await app.load(), "hi");
      expect(textOf(parts)).toBe("a");
      expect(parts.at(-1)).toMatchObject(counted);
    }
    const both = `({ llm: served }) => ${chain}.pipe((x) => x).pipe(served).pipe(new StringOutputParser())`;
    await using app = await App.create(own(both));
    const models = { served: new Speaker("One.") };
    const parts = await ask(await app.load({ llm: "capstan:served" }, models), "hi");
    expect(parts.at(-1)).toMatchObject({ reason: "stop", usage: { inputTokens: 9, outputTokens: 2 } });
  });

  it("is the tokens of all nodes of a graph, each message apart, or of those that are named", async () => {
    const nodes = `.addNode("draft", async () => ({ messages: [await llm.invoke("draft")] }))
      .addNode("final", async () => ({ messages: [await llm.invoke("final")] }))
      .addNode("signature", () => ({ messages: [new AIMessage("Yours")] }))
      .addEdge("__start__", "draft").addEdge("draft", "final").addEdge("final", "signature")`;
    const writer = () => new Speaker("One two.", "Three.");
    const parts = await answer(graph(nodes), "hi", {}, writer());
    expect(textOf(parts)).toBe("One two.\n\nThree.\n\nYours");
    expect(steps(parts, "node")).toEqual([{ node: "draft" }, { node: "final" }, { node: "signature" }]);
    expect(parts.at(-1)).toMatchObject({ usage: { inputTokens: 10, outputTokens: 4 } });
    expect(textOf(await answer(graph(nodes), "hi", { nodes: ["final"] }, writer()))).toBe("Three.");
  });

  it("is the last message of a graph that wrote none of it as an answer", async () => {
    const nodes = `.addNode("a", async () => ({ messages: [await llm.invoke("x", { tags: ["nostream"] })] })).addEdge("__start__", "a")`;
    expect(textOf(await answer(graph(nodes), "hi"))).toBe("Yes it is.");
    const silent = '.addNode("a", () => ({ messages: [] })).addEdge("__start__", "a")';
    const parts = await answer(graph(silent).replace("llm, ", ""), "hi");
    expect(kinds(parts)).toEqual(["step", "finish"]);
  });

  it("is what the responseFormat of an agent asks for", async () => {
    const agent = `
      import { createAgent, toolStrategy } from "langchain";
      import { z } from "zod";
      const Contact = z.object({ name: z.string() });
      export const agent = ({ llm }) => createAgent({ model: llm, tools: [], responseFormat: toolStrategy(Contact) });`;
    // The name that LangChain gives the tool by which a model answers so.
    const parts = await answer(agent, "Who is it?", {}, new Speaker(toolCall("extract-1", '{"name":"Ann"}')));
    expect(textOf(parts)).toBe('{"name":"Ann"}');
    expect(parts.at(-1)).toMatchObject({ reason: "stop" });
  });

  it("has the calls of tools that a graph ends with, and where it was interrupted", async () => {
    const calls = "[{ id: 'c1', name: 'book', args: { to: 'Rome' } }]";
    const nodes = `.addNode("a", () => ({ messages: [new AIMessage({ content: "", tool_calls: ${calls} })] })).addEdge("__start__", "a")`;
    const parts = await answer(graph(nodes).replace("llm, ", ""), "hi");
    expect(kinds(parts)).toEqual(["step", "step", "tool-call", "finish"]);
    expect(parts.at(-1)).toMatchObject({ reason: "tool_calls" });
    const asks = `.addNode("a", () => interrupt("Sure?")).addEdge("__start__", "a").compile({ checkpointer: new MemorySaver() })`;
    const asked = await answer(graph(asks).replace("llm, ", ""), { ...says("hi"), session: "s" });
    expect(steps(asked, "interrupt")).toEqual([{ value: "Sure?" }]);
  });
});
