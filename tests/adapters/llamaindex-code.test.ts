import { mkdir, symlink } from "node:fs/promises";
import { findPackageJSON } from "node:module";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { importLibrary } from "../../adapters/llamaindex/library.ts";
import { isCapstanError } from "../../src/contracts/index.ts";
import { testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import {
  ask,
  Counts,
  finish,
  fixture,
  hostOf,
  load,
  MODELS,
  Speaker,
  says,
  spec,
  steps,
  textOf,
  toolCall,
  words,
} from "./llamaindex-fakes.ts";

/** A model's folder with this code, which finds the packages that a checkout has. */
async function folderOf(code: string, more: Record<string, string | object> = {}): Promise<Files> {
  return Files.create({ "model.ts": code, ...more });
}

async function answer(code: string, writer: Speaker, request = says("cat"), options: object = MODELS) {
  await using files = await folderOf(code);
  await using llm = await load(
    spec(files.root),
    hostOf(files.root, { writer, counts: new Counts() }),
    options,
  );
  return await ask(llm, request);
}

/** npm keeps it inside of llamaindex, where user code finds it only when it is installed by name. */
async function workflows(files: Files): Promise<void> {
  await mkdir(files.path("node_modules/@llamaindex"), { recursive: true });
  const server = pathToFileURL(findPackageJSON("llamaindex", import.meta.url)!);
  const installed = dirname(findPackageJSON("@llamaindex/workflow", server)!);
  await symlink(installed, files.path("node_modules/@llamaindex/workflow"));
}

const DOCUMENTS = `
import { Document, SimpleChatEngine, SummaryIndex, VectorStoreIndex } from "llamaindex";
const documents = ["A cat.", "A dog."].map((text, i) => new Document({ text, id_: "d" + i, metadata: { title: "T" + i } }));
`;

describe("a module may export", () => {
  it("a function that makes an engine of what it is given", async () => {
    const code = `export default ({ llm, embed, storage, index, memory, config }: any) => ({
      async query({ query }: any) {
        const [vector] = await embed.getTextEmbeddings([query]);
        const { text } = await llm.complete({ prompt: "Say hi" });
        return [text, vector.length, storage === undefined, index === undefined, memory, config.tone].join(" ");
      },
    });`;
    const options = { ...MODELS, config: { tone: "kind" } };
    expect(textOf(await answer(code, new Speaker("hi there"), says("cat"), options))).toBe(
      "hi there 4 true true false kind",
    );
  });

  it("an index that it makes itself, by name", async () => {
    const code = `${DOCUMENTS} export const index = async () => VectorStoreIndex.fromDocuments(documents);`;
    const parts = await answer(code, new Speaker("A cat, yes."));
    expect(textOf(parts)).toBe("A cat, yes.");
    expect(steps(parts, "sources")).toEqual([
      [expect.objectContaining({ text: "A cat." }), expect.objectContaining({ text: "A dog." })],
    ]);
  });

  it("an index of another kind, or a query engine", async () => {
    const code = `${DOCUMENTS} export async function factory() { return SummaryIndex.fromDocuments(documents); }`;
    expect(textOf(await answer(code, new Speaker("Both."), says("cat"), { ...MODELS, engine: "chat" }))).toBe(
      "Both.",
    );
    const engine = `${DOCUMENTS} export const queryEngine = async () => (await VectorStoreIndex.fromDocuments(documents)).asQueryEngine();`;
    expect(
      textOf(await answer(engine, new Speaker("One."), says("cat"), { ...MODELS, citations: true })),
    ).toBe("One.\n\n[1] T0\n[2] T1");
  });

  it("an engine that is made while the module is evaluated", async () => {
    const code = `${DOCUMENTS} export default (await VectorStoreIndex.fromDocuments(documents)).asQueryEngine();`;
    expect(textOf(await answer(code, new Speaker("At once.")))).toBe("At once.");
  });

  it("a chat engine, which gets the history", async () => {
    const writer = new Speaker("Hello Ann.");
    const code = `${DOCUMENTS} export const chatEngine = ({ llm }: any) => new SimpleChatEngine({ llm });`;
    const messages = [
      { role: "system", content: "Be kind." },
      { role: "user", content: "I am Ann." },
      { role: "assistant", content: "", toolCalls: [{ id: "1", name: "look", arguments: "{}" }] },
      { role: "tool", content: "found", toolCallId: "1" },
      {
        role: "user",
        content: [
          { type: "text", text: "Hi" },
          { type: "image_url", image_url: { url: "data:," } },
        ],
      },
    ] as const;
    expect(textOf(await answer(code, writer, { messages, sampling: {} }))).toBe("Hello Ann.");
    expect(writer.requests[0]!.messages).toEqual(messages);
  });

  it("an application over the storage beside it", async () => {
    const code = `export default ({ index, storage }: any) => index.asQueryEngine({ similarityTopK: Object.keys(storage.vectorStores).length });`;
    await using files = await folderOf(code);
    await symlink(fixture("python/storage"), files.path("storage"));
    const models = { writer: new Speaker("yes"), counts: new Counts() };
    const model = { ...spec(files.root), artifact: files.path("model.ts") };
    await using llm = await load(model, hostOf(files.root, models));
    expect(steps(await ask(llm, "cat"), "sources")).toEqual([
      [expect.objectContaining({ text: "The cat saw a cat." })],
    ]);
  });
});

describe("agents", () => {
  const TOOL = `{ name: "add", description: "Adds", parameters: { type: "object", properties: { a: { type: "number" }, b: { type: "number" } } } }`;

  it("give text, and a step for each call of a tool and its result", async () => {
    const code = `
      import { agent } from "@llamaindex/workflow";
      import { FunctionTool } from "llamaindex";
      const add = FunctionTool.from(({ a, b }: any) => String(a + b), ${TOOL} as any);
      export default ({ llm }: any) => agent({ llm, tools: [add] });`;
    await using files = await folderOf(code);
    await workflows(files);
    const writer = new Speaker(toolCall("add", '{"a":1,"b":2}'), "It is 3.");
    await using llm = await load(spec(files.root), hostOf(files.root, { writer }), { llm: "capstan:writer" });
    const parts = await ask(llm, "1 + 2?");
    expect(textOf(parts)).toBe("It is 3.");
    expect(steps(parts, "tool-call")).toEqual([{ tool: "add", id: "call_1", input: { a: 1, b: 2 } }]);
    expect(steps(parts, "tool-result")).toEqual([{ tool: "add", id: "call_1", output: "3", failed: false }]);
    const [first, second] = writer.requests;
    expect(first!.tools).toEqual([{ type: "function", function: expect.objectContaining({ name: "add" }) }]);
    expect(second!.messages!.at(-1)).toEqual({ role: "tool", content: "3", toolCallId: "call_1" });
    expect(parts.at(-1)).toMatchObject({ usage: { inputTokens: 10, outputTokens: 4 } });
  });

  it("of the older kind answer as chat engines do", async () => {
    const code = `
      import { FunctionTool, LLMAgent } from "llamaindex";
      const add = FunctionTool.from(({ a, b }: any) => String(a + b), ${TOOL} as any);
      export const agent = ({ llm }: any) => new LLMAgent({ llm, tools: [add] });`;
    for (const name of ["agent", "workflowFactory"]) {
      const writer = new Speaker(toolCall("add", '{"a":1,"b":2}'), "It is 3.");
      expect(textOf(await answer(code.replace("const agent", `const ${name}`), writer))).toBe("It is 3.");
      expect(writer.requests).toHaveLength(2);
    }
  });

  it("keep nothing of a conversation", async () => {
    const code = `
      import { agent } from "@llamaindex/workflow";
      export default ({ llm }: any) => agent({ llm, tools: [] });`;
    await using files = await folderOf(code);
    await workflows(files);
    const writer = new Speaker("Fine.");
    await using llm = await load(spec(files.root), hostOf(files.root, { writer }), { llm: "capstan:writer" });
    const history = [
      { role: "user", content: "I am Ann." },
      { role: "assistant", content: "Hi." },
    ] as const;
    await ask(llm, { messages: [...history, { role: "user", content: "And I?" }], sampling: {} });
    await ask(llm, "Who am I?");
    expect(writer.requests.map(({ messages }) => messages!.slice(1).map(({ content }) => content))).toEqual([
      ["I am Ann.", "Hi.", "And I?"],
      ["Who am I?"],
    ]);
  });

  it("whose model fails say so", async () => {
    const code = `
      import { agent } from "@llamaindex/workflow";
      export default ({ llm }: any) => agent({ llm, tools: [] });`;
    await using files = await folderOf(code);
    await workflows(files);
    await using llm = await load(spec(files.root), hostOf(files.root, {}), { llm: "capstan:writer" });
    await expect(ask(llm, "1 + 2?")).rejects.toThrow("Model 'writer' is not found");
    const writer = new Speaker(toolCall("subtract", "{}"));
    await using other = await load(spec(files.root), hostOf(files.root, { writer }), {
      llm: "capstan:writer",
    });
    await expect(ask(other, "1 + 2?")).rejects.toThrow("called a tool 'subtract', and there is none");
  });
});

it("a folder storage/ that is not LlamaIndex's is left to the code beside it", async () => {
  const code = "export default ({ index }: any) => ({ query: () => String(index) });";
  await using files = await folderOf(code, { "storage/chroma.sqlite3": "" });
  await using llm = await load(spec(files.root), hostOf(files.root, {}), {});
  expect(textOf(await ask(llm, "cat"))).toBe("undefined");
});

describe("code that is wrong", () => {
  const refused = async (files: Record<string, string>, message: RegExp) => {
    await using folder = await Files.create(files);
    const host = hostOf(folder.root, { writer: new Speaker("yes") });
    await expect(load(spec(folder.root), host, { llm: "capstan:writer" })).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(message),
    });
  };

  it.each([
    ["export default 3;", /model\.ts: 'default' is a number; a query engine, a chat engine/],
    ["export const engine = { query() {} };", /model\.ts: it has no default export; it exports engine/],
    ["export default { ask() {} };", /'default' is Object with ask/],
    ["export const agent = null;", /'agent' is null/],
    ["export default async () => 'text';", /'default' makes a string/],
    ["export default () => {\n  throw new Error('no key');\n};", /model\.ts:2: no key/],
    ["export default 1 +;", /model\.ts:1/],
  ])("does not load: %s", async (code, message) => {
    await refused({ "model.ts": code }, message);
  });

  it("does not load when it is Python's, or no code at all", async () => {
    await refused(
      { "model.py": "", "storage/doc_store.json": "" },
      /model\.py is Python, which this server does not run/,
    );
    await refused({ "app.py": "" }, /app\.py is Python.*'remote' runtime/);
    await using files = await Files.create({ "model.yaml": "", "index.py": "" });
    const of = (file: string) =>
      load({ ...spec(files.root), artifact: files.path(file) }, hostOf(files.root, {}));
    await expect(of("model.yaml")).rejects.toThrow(/neither a module nor a folder/);
    await expect(of("index.py")).rejects.toThrow(/index\.py is Python/);
    await expect(of("none")).rejects.toThrow(/cannot read/);
  });

  it("fails a request with its file and line", async () => {
    const code = "export const queryEngine = {\n  query() {\n    throw new Error('lost it');\n  },\n};";
    const fault = await answer(code, new Speaker("yes")).catch((error: unknown) => error);
    expect(isCapstanError(fault) && [fault.code, fault.message]).toEqual([
      "INTERNAL",
      "Model 'app' failed at model.ts:3: lost it",
    ]);
  });

  it("that asks for a model it has not is told which option to set", async () => {
    const code =
      "export default ({ embed }: any) => ({ query: ({ query }: any) => embed.getTextEmbedding(query) });";
    await expect(answer(code, new Speaker("yes"), says("cat"), {})).rejects.toThrow(
      /no embedding model: set embed/,
    );
    const writes =
      "export default ({ llm }: any) => ({ query: ({ query }: any) => llm.complete({ prompt: query }) });";
    await expect(answer(writes, new Speaker("yes"), says("cat"), {})).rejects.toThrow(
      /no language model: set llm/,
    );
  });
});

describe("the library", () => {
  it("is the copy of the model's folder, else the server's", async () => {
    await using files = await Files.create({
      "node_modules/llamaindex/package.json": { name: "llamaindex", main: "own.js", type: "module" },
      "node_modules/llamaindex/own.js": "export const own = true;",
    });
    expect(await importLibrary(spec(files.root))).toMatchObject({ own: true });
    await files.write("node_modules/llamaindex/own.js", "throw new Error('half of it');");
    await files.write("node_modules/llamaindex/package.json", { exports: { ".": { import: "./own.js?2" } } });
    const server = await importLibrary(spec(fixture("python")));
    expect(server.VectorStoreIndex).toBeTypeOf("function");
  });

  it("that is missing, or does not load, is LOAD_FAILED", async () => {
    const missing = importLibrary(spec("/nowhere"), () => {
      throw new Error("not found");
    });
    await expect(missing).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message:
        "Model 'app': framework 'llamaindex' needs a package that is not installed: npm install llamaindex",
    });
    await using files = await Files.create({
      "node_modules/llamaindex/package.json": { main: "own.js", type: "module" },
      "node_modules/llamaindex/own.js": "throw new Error('half of it');",
    });
    await expect(importLibrary(spec(files.root))).rejects.toThrow("llamaindex does not load: half of it");
  });
});

describe("two models of one process", () => {
  it("keep their models to themselves, whatever is set globally", async () => {
    const code = (title: string) => `
      import { Document, Settings, VectorStoreIndex } from "llamaindex";
      Settings.llm = { chat() { throw new Error("the global one") } } as any;
      export default () => VectorStoreIndex.fromDocuments([new Document({ text: "cat dog", id_: "${title}" })]);`;
    await using one = await folderOf(code("one"));
    await using two = await folderOf(code("two"));
    const wide = new Counts();
    const narrow = new Counts(["cat"]);
    const first = await load(
      spec(one.root, "one"),
      hostOf(one.root, { writer: new Speaker("first"), counts: wide }),
    );
    const second = await load(
      spec(two.root, "two"),
      hostOf(two.root, { writer: new Speaker("second"), counts: narrow }),
    );
    const answers = await Promise.all(
      [first, second, first, second].map(async (llm) => textOf(await ask(llm, "dog"))),
    );
    expect(answers).toEqual(["first", "second", "first", "second"]);
    expect([wide.texts.length, narrow.texts.length]).toEqual([3, 3]);
  });
});

describe("an abort", () => {
  const endless = () => new Speaker(words("on and on"));

  it.each([
    ["a query engine", "export default ({ index }: any) => index.asQueryEngine();"],
    ["a chat engine", "export default ({ index }: any) => index.asChatEngine();"],
    [
      "a whole answer",
      "export default ({ llm }: any) => ({ query: ({ query }: any) => llm.complete({ prompt: query }) });",
    ],
    [
      "a workflow",
      'import { agent } from "@llamaindex/workflow"; export default ({ llm }: any) => agent({ llm, tools: [] });',
    ],
    [
      "an agent",
      'import { LLMAgent } from "llamaindex"; export default ({ llm }: any) => new LLMAgent({ llm, tools: [] });',
    ],
  ])("closes the model's stream within %s, and is raised", async (_, code) => {
    await using files = await folderOf(code);
    await symlink(fixture("python/storage"), files.path("storage"));
    await workflows(files);
    const writer = endless();
    await using llm = await load(spec(files.root), hostOf(files.root, { writer, counts: new Counts() }));
    const controller = new AbortController();
    const reason = new Error("gone");
    const call = { ...testCall(), signal: controller.signal };
    const asked = ask(llm, "cat", call);
    while (writer.begun === 0) await new Promise(setImmediate);
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expect(writer.closed).toBe(1);
  });

  it("ends the wait for a tool that never returns", async () => {
    const code = "export default { query: () => new Promise(() => {}) };";
    await using files = await folderOf(code);
    await using llm = await load(spec(files.root), hostOf(files.root, {}), {});
    const signal = AbortSignal.timeout(20);
    const call = { ...testCall(), signal };
    await expect(ask(llm, "cat", call)).rejects.toMatchObject({ name: "TimeoutError" });
  });

  it("closes the model's stream too when the reader leaves", async () => {
    const folder = fixture("python");
    const writer = endless();
    await using llm = await load(spec(folder), hostOf(folder, { writer, counts: new Counts() }));
    for await (const part of llm.streamTokens(says("cat"), testCall())) {
      if (part.type === "text") break;
    }
    expect([writer.begun, writer.closed]).toEqual([1, 1]);
  });
});

it("an answer without text is an answer", async () => {
  expect(await answer("export default { query: () => undefined };", new Speaker("yes"))).toEqual([
    { ...finish(), usage: { inputTokens: 0, outputTokens: 0 } },
  ]);
});
