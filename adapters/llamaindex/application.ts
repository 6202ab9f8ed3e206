import type { ChatMessage, MessageContent } from "llamaindex";
import type { UserCode } from "../../src/contracts/index.ts";
import type { Question } from "./messages.ts";
import type { LlamaIndexOptions } from "./options.ts";

/** What answers questions. */
export interface Application {
  /** A stream of LlamaIndex's pieces, or one piece, or a promise of either. */
  readonly ask: (question: Question) => unknown;
  /** Whether its steps run by themselves, so that it cannot be told of a fault in one. */
  readonly detached: boolean;
}

type Method = (argument: unknown, options?: unknown) => unknown;

/** The members by which LlamaIndex's classes are told from each other; a user's own class may have them too. */
interface Members {
  /** An agent workflow. */
  readonly runStream?: (input: MessageContent, options: { chatHistory: ChatMessage[] }) => unknown;
  /** An index. */
  readonly asQueryEngine?: Method;
  readonly asChatEngine?: Method;
  /** A chat engine, or an agent. */
  readonly chat?: Method;
  /** A query engine. */
  readonly query?: Method;
}

/** Names under which a module may export its application, in this order; the last two are create-llama's. */
const NAMES = [
  "default",
  "queryEngine",
  "chatEngine",
  "agent",
  "index",
  "factory",
  "workflow",
  "workflowFactory",
];

/**
 * The application that a module exports, or that its exported function makes.
 * @param arguments_ for that function.
 * @throws CapstanError LOAD_FAILED saying what is exported instead.
 */
export async function exportedApplication(
  code: UserCode,
  arguments_: object,
  options: LlamaIndexOptions,
): Promise<Application> {
  const name = NAMES.find((each) => code.optional(each) !== undefined) ?? "default";
  const exported = code.exported(name);
  const made = await (isFactory(exported) ? exported(arguments_) : exported);
  const application = applicationOf(made, options);
  if (application !== undefined) return application;
  const what = isFactory(exported) ? `'${name}' makes` : `'${name}' is`;
  throw code.failed(
    `${what} ${kindOf(made)}; a query engine, a chat engine, an agent, an index, or a function ` +
      "({ llm, embed, storage, config }) that makes one is needed",
  );
}

/** LlamaIndex's objects by their shape. Undefined for anything else. */
export function applicationOf(value: unknown, options: LlamaIndexOptions): Application | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const members = value as Members;
  if (isMethod(members.runStream)) {
    const ask = ({ content, history }: Question) => members.runStream!(content, { chatHistory: history });
    return { ask, detached: true };
  }
  if (isMethod(members.asQueryEngine)) return applicationOf(engineOf(members, options), options);
  const ask = isMethod(members.chat)
    ? ({ content, history }: Question) =>
        members.chat!({ message: content, chatHistory: history, stream: true })
    : ({ text }: Question) => members.query!({ query: text, stream: true });
  return isMethod(members.chat) || isMethod(members.query) ? { ask, detached: false } : undefined;
}

/** An index is asked through an engine; not every kind of index has one that chats. */
function engineOf(index: Members, { engine, top_k: similarityTopK }: LlamaIndexOptions): unknown {
  const chats = engine === "chat" && isMethod(index.asChatEngine);
  return chats ? index.asChatEngine!({ similarityTopK }) : index.asQueryEngine!({ similarityTopK });
}

function isFactory(value: unknown): value is (arguments_: object) => unknown {
  return typeof value === "function";
}

const isMethod = (value: unknown) => typeof value === "function";

function kindOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return value === null ? "null" : `a ${typeof value}`;
  const members = Object.keys(value).join(", ") || "nothing";
  return `${value.constructor?.name ?? "an object"} with ${members}`;
}
