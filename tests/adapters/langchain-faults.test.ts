import { describe, expect, it } from "vitest";
import { abortableCall, rejectsWithReason } from "../../src/testing/checks.ts";
import { testCall } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";
import { AGENT, App, answer, CHAIN, GRAPH, graph, LLM, refused, text } from "./langchain-fakes.ts";
import { ask, Speaker, says, steps, textOf, toolCall } from "./llamaindex-fakes.ts";

describe("a graph that remembers", () => {
  const code = GRAPH.replace("MessagesAnnotation,", "MemorySaver, MessagesAnnotation,")
    .replace(
      "export default",
      "const checkpointer = new MemorySaver();\nglobalThis.capstanThreads = checkpointer.storage;\nexport default",
    )
    .replace('"answer");', '"answer").compile({ checkpointer });');
  const threads = () => Object.keys((globalThis as { capstanThreads?: object }).capstanThreads ?? {});
  const seen = ({ requests }: Speaker) =>
    requests.map(({ messages = [] }) => messages.map(({ content }) => content));

  it("goes on with a session, and is given what is new", async () => {
    await using app = await App.create(code);
    const writer = new Speaker("Hello.");
    const llm = await app.load(LLM, { writer });
    const session = { sampling: {}, session: "s" };
    await ask(llm, { ...session, messages: says("I am Ada").messages! });
    const history = [...says("I am Ada").messages!, { role: "assistant", content: "Hello." } as const];
    await ask(llm, { ...session, messages: [...history, ...says("Who am I?").messages!] });
    await ask(llm, { ...session, session: "new", messages: [...history, ...says("And I?").messages!] });
    expect(seen(writer)).toEqual([
      ["I am Ada"],
      ["I am Ada", "Hello.", "Who am I?"],
      ["I am Ada", "Hello.", "And I?"],
    ]);
    expect(threads()).toEqual(["s", "new"]);
  });

  it("keeps the sessions of different callers apart, and nothing without a session", async () => {
    await using app = await App.create(code);
    const writer = new Speaker("Hello.");
    const llm = await app.load(LLM, { writer });
    const call = (id: string) => testCall({ principal: { id, role: "user", admin: false } });
    await ask(llm, { ...says("I am Ada"), session: "s" }, call("ada"));
    await ask(llm, { ...says("Who am I?"), session: "s" }, call("bob"));
    await ask(llm, "Who am I?");
    expect(seen(writer).slice(1)).toEqual([["Who am I?"], ["Who am I?"]]);
    expect(threads()).toEqual(["ada/s", "bob/s"]);
  });
});

describe("a graph that asks a person", () => {
  it("tells what it asks, and goes on with the answer in the same session", async () => {
    const nodes = `.addNode("a", () => ({ messages: [new AIMessage("You said " + interrupt("Sure?"))] }))
      .addEdge("__start__", "a").compile({ checkpointer: new MemorySaver() })`;
    await using app = await App.create(graph(nodes).replace("llm, ", ""));
    const llm = await app.load();
    const asked = await ask(llm, { ...says("hi"), session: "s" });
    expect(steps(asked, "interrupt")).toEqual([{ value: "Sure?" }]);
    expect(textOf(asked)).toBe("Sure?");
    const resumed = await ask(llm, { ...says("hi"), session: "s", extra: { resume: "yes" } });
    expect(textOf(resumed)).toBe("You said yes");
  });
});

describe("a fault", () => {
  it("of a tool is told to the model, as is a call that does not fit one", async () => {
    const writer = new Speaker(toolCall("weather", '{"city":"Atlantis"}'), "I cannot say.");
    const told = await answer(AGENT, "How is Atlantis?", {}, writer);
    expect(textOf(told)).toBe("I cannot say.");
    const output = expect.stringContaining("there is no such city");
    expect(steps(told, "tool-result")).toMatchObject([{ tool: "weather", output, failed: true }]);
    const unknown = new Speaker(toolCall("wether", "{}"), "I cannot say.");
    const parts = await answer(AGENT, "How is Rome?", {}, unknown);
    expect(textOf(parts)).toBe("I cannot say.");
    expect(steps(parts, "tool-result")).toMatchObject([{ tool: "wether", failed: true }]);
    const wrong = new Speaker(toolCall("weather", '{"town":1}'), "I cannot say.");
    expect(steps(await answer(AGENT, "How is Rome?", {}, wrong), "tool-result")).toMatchObject([
      { failed: true },
    ]);
  });

  it("is a tool call that nobody can read", async () => {
    const writer = new Speaker(toolCall("weather", '{"city": Rome'));
    const work = answer(AGENT, "How is Rome?", {}, writer);
    await refused(work, "UPSTREAM", /called the tool 'weather' with .*Rome.*not JSON/);
  });

  it("of a node names its place, and the next request is answered", async () => {
    await using app = await App.create(
      graph(`
.addNode("a", ({ messages }) => { if (messages.at(-1).text === "bad") throw new Error("no database"); return { messages: [new AIMessage("good")] }; })
.addEdge("__start__", "a")`).replace("llm, ", ""),
    );
    const llm = await app.load();
    await refused(ask(llm, "bad"), "INTERNAL", /Model 'app' failed at model\.ts:5: no database/);
    expect(textOf(await ask(llm, "fine"))).toBe("good");
  });

  it("is a graph that does not end", async () => {
    const nodes = '.addNode("a", () => ({ messages: [] })).addEdge("__start__", "a").addEdge("a", "a")';
    const work = answer(graph(nodes).replace("llm, ", ""), "hi", { recursion_limit: 3 });
    await refused(work, "INTERNAL", /did not come to its end within 3 steps; .*raise recursion_limit/);
  });

  it("of a model is told as it is", async () => {
    for (const code of [CHAIN, GRAPH, AGENT]) {
      await using app = await App.create(code);
      const llm = await app.load({ llm: "capstan:lost" });
      await refused(ask(llm, "hi"), "NOT_FOUND", /Model 'lost' is not found/);
    }
  });
});

describe("an abort", () => {
  it("ends a node that does not listen, and the model's answer", async () => {
    const nodes = '.addNode("a", () => new Promise(() => {})).addEdge("__start__", "a")';
    await using app = await App.create(graph(nodes).replace("llm, ", ""));
    const aborted = abortableCall();
    const work = ask(await app.load(), "hi", aborted.call);
    setTimeout(aborted.abort, 50);
    await rejectsWithReason(work, aborted);
  });

  it("ends the model's answer when it comes within it", async () => {
    for (const code of [CHAIN, GRAPH, AGENT]) {
      await using app = await App.create(code);
      const writer = new Speaker([text("one")]);
      const llm = await app.load(LLM, { writer });
      const aborted = abortableCall();
      const read = async () => {
        for await (const part of llm.streamTokens(says("hi"), aborted.call))
          if (part.type === "text") aborted.abort();
      };
      await rejectsWithReason(read(), aborted);
      await eventually(() => writer.closed === 1);
    }
  });

  it("is what leaving does", async () => {
    await using app = await App.create(GRAPH);
    const writer = new Speaker([text("one")]);
    const llm = await app.load(LLM, { writer });
    for await (const part of llm.streamTokens(says("hi"), testCall())) if (part.type === "text") break;
    await eventually(() => writer.closed === 1);
  });
});
