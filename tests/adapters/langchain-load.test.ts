import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import langchain from "../../adapters/langchain/index.ts";
import { importLibrary } from "../../adapters/langchain/library.ts";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { ModelGraph } from "../../src/host/model-graph.ts";
import { abortableCall, rejectsWithReason } from "../../src/testing/checks.ts";
import { App, CHAIN, GRAPH, LLM } from "./langchain-fakes.ts";
import { ask, Speaker, textOf } from "./llamaindex-fakes.ts";

/** An application that needs no model. */
const ECHO = `
import { RunnableLambda } from "@langchain/core/runnables";
export default RunnableLambda.from((text: string) => "You said " + text);
`;
const named = (name: string) => `
import { RunnableLambda } from "@langchain/core/runnables";
export const ${name} = RunnableLambda.from(() => "I am ${name}");
`;
const graphs = (...names: string[]) => ({
  graphs: Object.fromEntries(names.map((name) => [name, `./src/${name}.ts:${name}`])),
});

type Files = Readonly<Record<string, string | object>>;

async function says(code: string | Files, options = {}, spec: Partial<ModelSpec> = {}): Promise<string> {
  await using app = await App.create(code);
  return textOf(await ask(await app.load(options, {}, spec), "hi"));
}

function refuses(code: string | Files, message: RegExp, options = {}, spec: Partial<ModelSpec> = {}) {
  return expect(says(code, options, spec)).rejects.toMatchObject({
    code: "LOAD_FAILED",
    message: expect.stringMatching(message),
  });
}

describe("an entry", () => {
  it("is the graph of langgraph.json", async () => {
    const files = { "langgraph.json": graphs("one"), "src/one.ts": named("one"), "model.ts": ECHO };
    expect(await says(files)).toBe("I am one");
    const detailed = { graphs: { one: { path: "./src/one.ts:one", description: "the first" } } };
    expect(await says({ ...files, "langgraph.json": detailed })).toBe("I am one");
  });

  it("is the graph that `graph` names, where there are several", async () => {
    const files = {
      "langgraph.json": graphs("one", "two"),
      "src/one.ts": named("one"),
      "src/two.ts": named("two"),
    };
    expect(await says(files, { graph: "two" })).toBe("I am two");
    await refuses(files, /has the graphs one, two: set graph/);
    await refuses(files, /no graph 'three'; it has one, two/, { graph: "three" });
  });

  it("is a module under another name, and another export, where `entry` says so", async () => {
    const files = { "src/app.ts": `${named("first")}`, "model.ts": ECHO };
    expect(await says(files, { entry: "./src/app.ts:first" })).toBe("I am first");
    await using app = await App.create({ "other.ts": ECHO });
    const llm = await app.load({}, {}, { artifact: app.files.path("other.ts") });
    expect(textOf(await ask(llm, "hi"))).toBe("You said hi");
  });

  it("is found under the names that applications have, also as a promise", async () => {
    expect(await says(named("agent"))).toBe("I am agent");
    expect(await says(ECHO.replace("default ", "default Promise.resolve(").replace(/;\n$/, ");\n"))).toBe(
      "You said hi",
    );
    expect(await says({ "model.mjs": ECHO.replace(": string", "") })).toBe("You said hi");
  });

  it("must be there", async () => {
    await refuses({ "readme.md": "nothing" }, /there is no langgraph\.json and no model\.ts/);
    await refuses(ECHO, /cannot read .*none/, {}, { artifact: "/none" });
    await refuses(ECHO, /graph is 'one', and there is no langgraph\.json/, { graph: "one" });
    await refuses({ "langgraph.json": { graphs: {} } }, /langgraph\.json has no graphs/);
    await refuses({ "langgraph.json": "{" }, /langgraph\.json: .*JSON/);
    await refuses({ "langgraph.json": { graphs: { one: 1 } } }, /langgraph\.json: /);
    await refuses({ "langgraph.json": graphs("one") }, /src\/one\.ts: there is no such file/);
    await refuses(ECHO, /weights\.bin is no module/, { entry: "./weights.bin" });
  });

  it("must not be Python", async () => {
    const advice = /agent\.py is Python, which this server does not run: rewrite it/;
    await refuses({ "langgraph.json": { graphs: { a: "./agent.py:graph" } } }, advice);
    await refuses({ "agent.py": "graph = 1" }, advice);
  });

  it("must export an application", async () => {
    await refuses("export const answer = 42;", /model\.ts: it has no default export; it exports answer/);
    await refuses("export default 42;", /'default' is a number; a Runnable, a graph/);
    await refuses("export default null;", /'default' is null/);
    await refuses("export default { run() {} };", /'default' is Object with run/);
    await refuses("export default () => ({ run() {} });", /'default' makes Object with run/);
    await refuses(ECHO, /no export 'graph'; it exports default/, { entry: "./model.ts:graph" });
    await refuses(
      "export default async () => { throw new Error('no database'); };",
      /model\.ts:1: no database/,
    );
    await refuses(ECHO, /llm is set in parameters\.extra, and 'default' cannot take it/, LLM);
    await refuses(ECHO, /embed is set/, { embed: "capstan:writer" });
  });
});

describe("what it needs", () => {
  it("is LangChain, and says how to install it", async () => {
    await using app = await App.create(ECHO);
    const missing = importLibrary(app.spec, () => undefined);
    const line = /npm install langchain @langchain\/core @langchain\/langgraph/;
    await expect(missing).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(line),
    });
    const broken = importLibrary(app.spec, () => app.files.path("none.json"));
    await expect(broken).rejects.toMatchObject({ message: expect.stringMatching(/core does not load/) });
    const throwing = importLibrary(app.spec, () => {
      throw new Error("no such folder");
    });
    await expect(throwing).rejects.toMatchObject({ message: expect.stringMatching(line) });
  });

  it("is looked for in the model's folder, then in the server's", async () => {
    await using app = await App.create(ECHO);
    const places: string[] = [];
    await expect(importLibrary(app.spec, (from) => void places.push(from))).rejects.toThrow();
    expect(places[0]).toBe(pathToFileURL(app.files.path("_")).href);
    expect(places[1]).toMatch(/adapters\/langchain\/library\.ts$/);
  });

  it("is the environment of langgraph.json, while it is loaded", async () => {
    const code = `${named("one").replace('"I am one"', "`${process.env.CAPSTAN_A} ${process.env.PATH}`")}`;
    const env = { CAPSTAN_A: "a", PATH: "none" };
    const files = { "langgraph.json": { ...graphs("one"), env }, "src/one.ts": code };
    expect(await says(files)).toBe(`a ${process.env.PATH}`);
    expect(process.env.CAPSTAN_A).toBeUndefined();
    const dotenv = {
      ...files,
      "langgraph.json": { ...graphs("one"), env: ".env" },
      ".env": "CAPSTAN_A='b c'\n",
    };
    expect(await says(dotenv)).toContain("b c");
    await refuses(
      { ...dotenv, ".env": {}, "langgraph.json": { ...graphs("one"), env: "x" } },
      /env of langgraph\.json/,
    );
  });

  it("is an environment of its own where models do not agree", async () => {
    const files = (value: string) => ({
      "langgraph.json": { ...graphs("one"), env: { CAPSTAN_B: value } },
      "src/one.ts": named("one"),
    });
    await using first = await App.create(files("1"));
    await first.load();
    await using next = await App.create(files("2"));
    await next.load();
    expect(process.env.CAPSTAN_B).toBe("2");
    await first[Symbol.asyncDispose]();
    expect(process.env.CAPSTAN_B).toBe("2");
    const text = /model 'app' has set CAPSTAN_B to another value; set "isolation": "thread"/;
    await refuses(files("3"), text, {}, { name: "other" });
    await next[Symbol.asyncDispose]();
    expect(process.env.CAPSTAN_B).toBeUndefined();
  });

  it("is a model that is not the one that asks", async () => {
    await using app = await App.create(CHAIN);
    const graph = new ModelGraph();
    graph.connect("writer", "app");
    const host = { ...app.host(), model: (name: string) => graph.connect("app", name) as never };
    const cycle = app.load(LLM, {}, {}, host);
    await expect(cycle).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringContaining("app -> writer -> app"),
    });
  });

  it("is a memory of one: the host's, or the graph's", async () => {
    const code = GRAPH.replace("MessagesAnnotation,", "MemorySaver, MessagesAnnotation,").replace(
      '"answer");',
      '"answer").compile({ checkpointer: new MemorySaver() });',
    );
    await using app = await App.create(code);
    const both = app.load(LLM, { writer: new Speaker("yes") }, { remembers: true });
    await expect(both).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(/memory is set, and the graph has a checkpointer/),
    });
    await app.load(LLM, { writer: new Speaker("yes") });
    await app.load({ ...LLM, entry: "./model.ts" }, { writer: new Speaker("yes") }, { remembers: false });
  });

  it("tells a factory whether the server remembers, and what LangGraph's servers tell", async () => {
    const code = GRAPH.replace("MessagesAnnotation,", "MemorySaver, MessagesAnnotation,")
      .replace("({ llm })", "({ llm, memory, configurable })")
      .replace(
        '"answer");',
        '"answer").compile({ checkpointer: memory ? undefined : new MemorySaver(), name: configurable.title });',
      );
    await using app = await App.create(code);
    const options = { ...LLM, configurable: { title: "mine" } };
    for (const remembers of [true, false]) {
      const llm = await app.load(options, { writer: new Speaker("yes") }, { remembers });
      expect(textOf(await ask(llm, "hi"))).toBe("yes");
    }
  });

  it("does not wait for a factory after an abort", async () => {
    await using app = await App.create("export default () => new Promise(() => {});");
    const aborted = abortableCall();
    const parsed = langchain.options.safeParse({});
    if (!parsed.success) throw new Error("options");
    const loading = langchain.load(app.spec, parsed.data, app.host(), aborted.call);
    setTimeout(aborted.abort, 50);
    await rejectsWithReason(loading, aborted);
  });

  it("has options that belong together", () => {
    const faulty = (options: object) => langchain.options.safeParse(options).success;
    expect(faulty({ llm: "capstan:writer", llm_model: "x" })).toBe(false);
    expect(faulty({ llm: "writer" })).toBe(false);
    expect(faulty({ llm: "http://127.0.0.1:1/v1", llm_model: "x", llm_api_key: "y" })).toBe(true);
  });
});

describe("what is exported beside it", () => {
  it("is disposed with it", async () => {
    await using app = await App.create(`${ECHO}
export const dispose = () => { globalThis.capstanDisposed = (globalThis.capstanDisposed ?? 0) + 1; };`);
    const llm = await app.load();
    const count = () => (globalThis as { capstanDisposed?: number }).capstanDisposed;
    expect(count()).toBeUndefined();
    await llm[Symbol.asyncDispose]();
    await llm[Symbol.asyncDispose]();
    expect(count()).toBe(1);
  });
});
