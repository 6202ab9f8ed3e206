import type { PreTrainedTokenizer } from "@huggingface/transformers";
import { CapstanError, type ChatRequest, invalid, type Message } from "../../src/contracts/index.ts";

/**
 * The token ids of a request: messages through the chat template, a prompt as it is.
 * @throws CapstanError INVALID_ARGUMENT when the request cannot be put into words of this model.
 */
export function promptTokens(
  tokenizer: PreTrainedTokenizer,
  { messages, prompt }: ChatRequest,
  template: string | undefined,
): number[] {
  const tokens =
    messages === undefined
      ? tokenizer.encode(prompt ?? "")
      : tokenizer.encode(rendered(tokenizer, messages, template), { add_special_tokens: false });
  if (tokens.length === 0) throw invalid("The prompt is empty", { param: "prompt" });
  return tokens;
}

function rendered(
  tokenizer: PreTrainedTokenizer,
  messages: readonly Message[],
  template: string | undefined,
): string {
  if (template === undefined && !tokenizer.chat_template) {
    throw invalid("This model has no chat template: send a prompt, or set chat_template in its settings", {
      param: "messages",
    });
  }
  const special = specialTokens(tokenizer);
  const conversation = messages.map((message) => ({
    role: message.role,
    content: withoutTokens(textOf(message), special),
  }));
  try {
    const options = {
      tokenize: false,
      add_generation_prompt: true,
      ...(template && { chat_template: template }),
    };
    return tokenizer.apply_chat_template(conversation, options) as string;
  } catch (cause) {
    throw invalid(`The chat template refuses the messages: ${(cause as Error).message}`, {
      param: "messages",
      cause,
    });
  }
}

function specialTokens(tokenizer: PreTrainedTokenizer): RegExp | undefined {
  const tokens = tokenizer.all_special_tokens as readonly string[];
  return tokens.length === 0 ? undefined : new RegExp(tokens.map(RegExp.escape).join("|"), "g");
}

const WORD_JOINER = "\u2060";

/** What a user writes is never a control token: an invisible sign inside keeps `<|im_end|>` plain letters. */
function withoutTokens(text: string, special: RegExp | undefined): string {
  if (special === undefined) return text;
  return text.replace(special, (word) => word[0] + WORD_JOINER + word.slice(1));
}

function textOf({ content }: Message): string {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? String(part.text) : refusePart(part.type))).join("");
}

function refusePart(type: string): never {
  const message = `This model reads text only: a message has a part of type '${type}'`;
  throw new CapstanError("UNSUPPORTED", message, { param: "messages" });
}
