import type { BaseMessage } from "@langchain/core/messages";
import {
  CapstanError,
  type ChatRequest,
  invalid,
  type Message,
  refuseUnsupported,
} from "../../src/contracts/index.ts";
import { type Application, remembers } from "./application.ts";
import { isObject, textOf } from "./messages.ts";
import type { LangChainOptions } from "./options.ts";

/** What an application takes. */
export type InputForm =
  | { readonly kind: "messages" }
  | { readonly kind: "text" }
  | {
      readonly kind: "object";
      /** Gets the text of the last message. */
      readonly text?: string;
      /** Gets the messages before it, or all where no key gets the text. */
      readonly messages?: string;
    }
  /** It wants keys that a conversation does not have. */
  | { readonly kind: "own"; readonly keys: readonly string[] };

const TEXT_KEYS = ["question", "input", "query", "text", "prompt", "topic"];

/** As `input` says, else as the application's own shape does. */
export function inputForm(application: Application, option: LangChainOptions["input"]): InputForm {
  if (option === undefined) return detected(application);
  if (option === "text") return { kind: "text" };
  if (option !== "messages") return { kind: "object", text: option.key, messages: option.history };
  return application.graph === undefined ? { kind: "messages" } : { kind: "object", messages: "messages" };
}

function detected({ graph, runnable }: Application): InputForm {
  if (graph !== undefined) return ofKeys(stateKeys(graph.channels), ["messages"]);
  const { first = runnable } = runnable as { readonly first?: object };
  const { inputVariables, promptMessages = [] } = first as PromptTemplate;
  if (inputVariables !== undefined) {
    return ofKeys(
      inputVariables,
      promptMessages.flatMap(({ variableName = [] }) => variableName),
    );
  }
  return "_modelType" in first ? { kind: "messages" } : { kind: "text" };
}

/** LangChain's prompt templates; a placeholder for messages has a `variableName`. */
interface PromptTemplate {
  readonly inputVariables?: readonly string[];
  readonly promptMessages?: readonly { readonly variableName?: string }[];
}

/** LangGraph's own channels have a colon or underscores. */
const stateKeys = (channels: object) => Object.keys(channels).filter((key) => !/^__|:/.test(key));

/** @param lists the keys that take messages. */
function ofKeys(keys: readonly string[], lists: readonly string[]): InputForm {
  const texts = keys.filter((key) => !lists.includes(key));
  const messages = keys.find((key) => lists.includes(key)) ?? (keys.length === 0 ? "messages" : undefined);
  // A state holds its results too, so that its messages are what it takes; a template wants all of its variables.
  if (messages === "messages" && lists.length === 1) return { kind: "object", messages };
  const text = texts.length === 1 ? texts[0] : TEXT_KEYS.find((key) => texts.includes(key));
  return text === undefined && messages === undefined
    ? { kind: "own", keys }
    : { kind: "object", text, messages };
}

/**
 * A request as the application takes it.
 * @param convert LangChain's messages for ours.
 * @throws CapstanError INVALID_ARGUMENT for what an application cannot do.
 */
export function inputOf(
  request: ChatRequest,
  application: Application,
  form: InputForm,
  convert: (messages: readonly Message[]) => BaseMessage[],
): unknown {
  refuse(request, application);
  const own = ownInput(request, application);
  if (own !== undefined) return own;
  const messages = messagesOf(request);
  const last = textOf(messages.at(-1)?.content);
  if (form.kind === "messages") return convert(messages);
  if (form.kind === "text") return last;
  if (form.kind === "own") {
    const text = `This application takes ${form.keys.join(", ")}: send an object with them as 'input'`;
    throw invalid(text, { param: "input" });
  }
  const before = form.text === undefined ? messages : messages.slice(0, -1);
  return {
    ...(form.text === undefined ? {} : { [form.text]: last }),
    ...(form.messages === undefined ? {} : { [form.messages]: convert(before) }),
  };
}

/** What the caller wants an application to get in place of the messages. */
function ownInput({ extra = {}, session }: ChatRequest, application: Application): unknown {
  const { input, inputs = input, resume } = extra;
  if (resume !== undefined) {
    if (session !== undefined && remembers(application)) return { lg_name: "Command", resume };
    const needs = "a graph with a checkpointer, and the session in which it was interrupted";
    throw invalid(`'resume' needs ${needs}`, { param: "resume" });
  }
  // LangGraph knows its commands by `lg_name`: one in an input could go to any node.
  const isState = isObject(inputs) && !("lg_name" in inputs);
  if (inputs !== undefined && application.graph !== undefined && !isState)
    throw invalid("'input' must be an object with the keys of the graph's state", { param: "input" });
  return inputs;
}

/** A prompt is what a user says. */
export const messagesOf = ({ messages = [], prompt }: ChatRequest): readonly Message[] =>
  prompt === undefined ? messages : [{ role: "user", content: prompt }];

function refuse(request: ChatRequest, { bindTools }: Application): void {
  const { n = 1, tools = [] } = request;
  if (n > 1) throw invalid(`'n' is ${n}, and an application gives one answer`, { param: "n" });
  if (tools.length > 0 && bindTools === undefined) {
    const text = "An application has its own tools and takes no others";
    throw new CapstanError("UNSUPPORTED", text, { param: "tools" });
  }
  refuseUnsupported(request, "langchain", ["tools"]);
}
