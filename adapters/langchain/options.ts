import { z } from "zod";
import { MODEL_ADDRESS, MODEL_ADDRESS_TEXT } from "../../src/contracts/index.ts";

/** A model of this server, or an OpenAI-compatible upstream: its address, or options of the adapter `openai`. */
const reference = z.union([
  z.string().regex(MODEL_ADDRESS, MODEL_ADDRESS_TEXT),
  z.looseObject({ base_url: z.unknown() }),
]);

export type Reference = z.output<typeof reference>;

const isAddress = (llm: Reference | undefined) => typeof llm === "string" && llm.startsWith("http");

const name = z.string().min(1);

const input = z.union([
  z.enum(["messages", "text"]),
  /** An object: the text of the last message under `key`, and the messages before it under `history`. */
  z.strictObject({ key: name, history: name.optional() }),
]);

/** What `parameters.extra` may say about a LangChain or LangGraph application. */
export const langchainOptions = z
  .strictObject({
    /** The module, and after a colon its export, as langgraph.json writes them; used in place of looking for one. */
    entry: name.optional(),
    /** Which graph of langgraph.json is served, where it has several. */
    graph: name.optional(),
    /** The chat model that a factory gets. */
    llm: reference.optional(),
    /** The model's name and key at the address in `llm`. */
    llm_model: name.optional(),
    llm_api_key: z.string().optional(),
    /** The embedding model that a factory gets. */
    embed: reference.optional(),
    /** What the application takes. Absent: what its state or its first step says. */
    input: input.optional(),
    /** The key of the state, or of an object, that holds the answer. Absent: the tokens of its messages. */
    output: name.optional(),
    /** Only what these nodes of a graph write is the answer. */
    nodes: z.array(name).min(1).optional(),
    /** Steps that a graph may take for one answer. */
    recursion_limit: z.int().min(1).max(10_000).default(25),
    /** LangChain's `configurable` of every request. A request may replace what is named here, and nothing else. */
    configurable: z.record(z.string(), z.unknown()).default({}),
    /** For the application's own code: its factory gets it. */
    config: z.record(z.string(), z.unknown()).default({}),
  })
  .refine((o) => (o.llm_model === undefined && o.llm_api_key === undefined) || isAddress(o.llm), {
    path: ["llm"],
    message: "must be the address of a server when llm_model or llm_api_key is given",
  });

export type LangChainOptions = z.output<typeof langchainOptions>;
