import { randomUUID } from "node:crypto";
import { Template } from "@huggingface/jinja";
import type { LlamaModel, Token } from "node-llama-cpp";
import {
  CapstanError,
  type ChatRequest,
  invalid,
  type Message,
  type ModelSpec,
} from "../../src/contracts/index.ts";
import { failed } from "./artifact.ts";

/** `token_type` of a control token in GGUF (llama.cpp, LLAMA_TOKEN_TYPE_CONTROL). */
const CONTROL = 3;

/** Makes the tokens of a request: messages through the chat template, a prompt as it is. */
export class Prompts {
  readonly #model: LlamaModel;
  readonly #name: string;
  readonly #template: Template | undefined;
  readonly #control: RegExp | undefined;

  /** @throws CapstanError LOAD_FAILED when the template is not understood. */
  constructor(spec: ModelSpec, model: LlamaModel, template: string | undefined) {
    this.#name = spec.name;
    this.#model = model;
    this.#template = parse(spec, template ?? model.fileInfo.metadata.tokenizer?.chat_template);
    this.#control = controlTokens(model);
  }

  /** @throws CapstanError INVALID_ARGUMENT when the request cannot be put into words of this model. */
  tokens({ messages, prompt }: ChatRequest): Token[] {
    const tokens = messages === undefined ? this.#model.tokenize(prompt ?? "", true) : this.#chat(messages);
    const { bos, shouldPrependBosToken } = this.#model.tokens;
    const withStart = shouldPrependBosToken && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens;
    if (withStart.length === 0) throw invalid("The prompt is empty", { param: "prompt" });
    return withStart;
  }

  #chat(messages: readonly Message[]): Token[] {
    if (this.#template === undefined) {
      const text = `Model '${this.#name}' has no chat template: send a prompt, or set chat_template in its settings`;
      throw invalid(text, { param: "messages" });
    }
    const plain = new PlainText(this.#control);
    const { bosString, eosString } = this.#model.tokens;
    const items = {
      messages: messages.map((message) => templateMessage(message, plain)),
      add_generation_prompt: true,
      bos_token: bosString ?? "",
      eos_token: eosString ?? "",
    };
    try {
      return plain.tokenize(this.#template.render(items), this.#model);
    } catch (cause) {
      const why = `Model '${this.#name}': its chat template refuses the messages: ${(cause as Error).message}`;
      throw invalid(why, { param: "messages", cause });
    }
  }
}

function parse(spec: ModelSpec, template: string | undefined): Template | undefined {
  try {
    return template === undefined ? undefined : new Template(template);
  } catch (cause) {
    const why = `its chat template is not understood: ${(cause as Error).message}. Set chat_template`;
    throw failed(spec, why, cause);
  }
}

function controlTokens(model: LlamaModel): RegExp | undefined {
  const { tokens = [], token_type: types = [] } = model.fileInfo.metadata.tokenizer?.ggml ?? {};
  const control = tokens.filter((text, index) => types[index] === CONTROL && text !== "");
  return control.length === 0 ? undefined : new RegExp(control.map(RegExp.escape).join("|"), "g");
}

/**
 * What a user writes is never a control token: `<|im_end|>` in a message is those letters, and does not end
 * the message. Such words go through the template under marks, and are put back as plain text.
 */
class PlainText {
  readonly #control: RegExp | undefined;
  readonly #mark = randomUUID();
  readonly #words: string[] = [];

  constructor(control: RegExp | undefined) {
    this.#control = control;
  }

  guard(text: string): string {
    if (this.#control === undefined) return text;
    return text.replace(this.#control, (word) => `${this.#mark}${this.#words.push(word) - 1};`);
  }

  tokenize(rendered: string, model: LlamaModel): Token[] {
    if (this.#words.length === 0) return model.tokenize(rendered, true);
    const pieces = rendered.split(new RegExp(`${this.#mark}(\\d+);`));
    return pieces.flatMap((piece, index) =>
      index % 2 === 0 ? model.tokenize(piece, true) : model.tokenize(this.#words[Number(piece)]!, false),
    );
  }
}

/** A message as chat templates expect it: Hugging Face's format, with the arguments of calls as objects. */
function templateMessage(message: Message, plain: PlainText): Record<string, unknown> {
  const { role, name, toolCalls, toolCallId } = message;
  const content = plain.guard(textOf(message));
  return {
    role,
    content,
    ...(name === undefined ? {} : { name }),
    ...(toolCallId === undefined ? {} : { tool_call_id: toolCallId }),
    ...(toolCalls === undefined ? {} : { tool_calls: toolCalls.map(templateCall) }),
  };
}

function templateCall(call: NonNullable<Message["toolCalls"]>[number]): Record<string, unknown> {
  return {
    id: call.id,
    type: "function",
    function: { name: call.name, arguments: argumentsOf(call.arguments) },
  };
}

function argumentsOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function textOf({ content }: Message): string {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? String(part.text) : refusePart(part.type))).join("");
}

function refusePart(type: string): never {
  const message = `This model reads text only: a message has a part of type '${type}'`;
  throw new CapstanError("UNSUPPORTED", message, { param: "messages" });
}
