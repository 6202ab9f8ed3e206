import { expect } from "vitest";
import langchain from "../../adapters/langchain/index.ts";
import type { CapLLM, ChatRequest, Host, ModelClient, ModelSpec, Part } from "../../src/contracts/index.ts";
import { testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { ask, hostOf, Speaker } from "./llamaindex-fakes.ts";

/** A chain of a prompt, the model and a parser. */
export const CHAIN = `
import { StringOutputParser } from "@langchain/core/output_parsers";
import { ChatPromptTemplate } from "@langchain/core/prompts";
export default ({ llm }) =>
  ChatPromptTemplate.fromMessages([["system", "Answer."], ["human", "{question}"]])
    .pipe(llm).pipe(new StringOutputParser());
`;

/** An agent with one tool, which fails for Atlantis. */
export const AGENT = `
import { createAgent, tool } from "langchain";
import { z } from "zod";
const weather = tool(
  ({ city }) => {
    if (city === "Atlantis") throw new Error("there is no such city");
    return "Rain in " + city;
  },
  { name: "weather", description: "The weather", schema: z.object({ city: z.string() }) },
);
export default ({ llm }) => createAgent({ model: llm, tools: [weather] });
`;

/** A graph of one node that asks the model, as it was written down and not compiled. */
export const GRAPH = `
import { MessagesAnnotation, StateGraph } from "@langchain/langgraph";
export default ({ llm }) => new StateGraph(MessagesAnnotation)
  .addNode("answer", async ({ messages }) => ({ messages: [await llm.invoke(messages)] }))
  .addEdge("__start__", "answer");
`;

type Models = Readonly<Record<string, Partial<ModelClient>>>;

/** An application in a folder of its own, and what is loaded of it. */
export class App implements AsyncDisposable {
  readonly files: Files;
  readonly llms: CapLLM[] = [];

  private constructor(files: Files) {
    this.files = files;
  }

  /** @param code of model.ts, or of files by their path. */
  static async create(code: string | Readonly<Record<string, string | object>>): Promise<App> {
    return new App(await Files.create(typeof code === "string" ? { "model.ts": code } : code));
  }

  get spec(): ModelSpec {
    return { name: "app", version: "1", folder: this.files.root, artifact: this.files.root };
  }

  host(models: Models = {}): Host {
    return hostOf(this.files.root, models);
  }

  async load(
    options: object = {},
    models: Models = {},
    spec: Partial<ModelSpec> = {},
    host = this.host(models),
  ) {
    const parsed = langchain.options.safeParse(options);
    if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
    const llm = await langchain.load({ ...this.spec, ...spec }, parsed.data, host, testCall());
    this.llms.push(llm);
    return llm;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const llm of this.llms) await llm[Symbol.asyncDispose]();
    await this.files[Symbol.asyncDispose]();
  }
}

export const LLM = { llm: "capstan:writer" };

export const graph = (nodes: string, state = "MessagesAnnotation") => `
import { AIMessage, ToolMessage } from "@langchain/core/messages";
import { Annotation, interrupt, MemorySaver, MessagesAnnotation, StateGraph } from "@langchain/langgraph";
export default ({ llm, config }) => new StateGraph(${state})${nodes};
`;
export const runnable = (code: string) => `
import { AIMessage, AIMessageChunk, HumanMessage } from "@langchain/core/messages";
import { JsonOutputParser } from "@langchain/core/output_parsers";
import { ChatPromptTemplate, MessagesPlaceholder, PromptTemplate } from "@langchain/core/prompts";
import { RunnableLambda, RunnableMap } from "@langchain/core/runnables";
${code}
`;
export const kinds = (parts: readonly Part[]) => parts.map(({ type }) => type);
export const text = (value: string): Part => ({ type: "text", choice: 0, text: value });

/** Asks a new application once. */
export async function answer(
  code: string,
  request: ChatRequest | string,
  options: object = {},
  writer = new Speaker("Yes it is."),
) {
  await using app = await App.create(code);
  const given = code.includes("llm") ? { ...LLM, ...options } : options;
  return await ask(await app.load(given, { writer }), request);
}

export const refused = (work: Promise<unknown>, code: string, message: RegExp) =>
  expect(work).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
