import {
  type Call,
  CapstanError,
  type ChatRequest,
  type Completion,
  type CompletionChoice,
  type Part,
  type Usage,
} from "../../src/contracts/index.ts";
import { Choice } from "./choice.ts";
import { findStop, WholeCharacters } from "./stops.ts";

/** What an answer needs to know besides the parts of the adapter. */
export interface AnswerParts {
  readonly framework: string;
  readonly request: ChatRequest;
  /** Throws when the work must not go on. */
  readonly goOn: () => void;
  /** Of a choice that a stop sequence ended, so that the adapter never told. */
  readonly usage: (choice: Choice) => Promise<Usage>;
}

/**
 * An adapter's parts as callers may rely on them: text in whole characters and without stop sequences, and
 * one finish for each choice, its last part. The adapter's stream is left as soon as nobody needs it.
 * @throws CapstanError UPSTREAM when the stream ends without having finished, or has a choice too many.
 */
export async function* answer(source: AsyncIterable<Part>, parts: AnswerParts): AsyncGenerator<Part> {
  const choices = choicesOf(parts.request);
  let open = choices.length;
  let last: Choice | undefined;
  for await (const part of source) {
    parts.goOn();
    if (open === 0) return;
    const choice = choices[part.choice] ?? unknownChoice(part, parts);
    if (choice.done) continue;
    for (const passed of pass(part, choice)) {
      yield passed;
      parts.goOn();
    }
    if (!choice.done) continue;
    open -= 1;
    if (part.type === "finish") continue;
    if (open === 0) {
      last = choice;
      break;
    }
    yield await stop(choice, parts);
  }
  parts.goOn();
  if (last !== undefined) yield await stop(last, parts);
  if (open > 0) throw unfinished(choices, parts);
}

function choicesOf({ n = 1, sampling }: ChatRequest): Choice[] {
  return Array.from({ length: n }, (_, index) => new Choice(index, sampling.stop ?? []));
}

function pass(part: Part, choice: Choice): Part[] {
  if (part.type === "text") return choice.push(part);
  if (part.type === "finish") return [...choice.end(), part];
  if (part.type === "reasoning") choice.tokens += 1;
  return [part];
}

async function stop(choice: Choice, { usage }: AnswerParts): Promise<Part> {
  return { type: "finish", choice: choice.index, reason: "stop", usage: await usage(choice) };
}

function unknownChoice({ choice }: Part, { framework, request }: AnswerParts): never {
  const asked = request.n ?? 1;
  const text = `The adapter '${framework}' answered with choice ${choice}, and ${asked} were asked for`;
  throw new CapstanError("UPSTREAM", text);
}

function unfinished(choices: readonly Choice[], { framework }: AnswerParts): CapstanError {
  const open = choices.filter(({ done }) => !done).map(({ index }) => index);
  const text = `The answer of the adapter '${framework}' was cut off: choice ${open.join(", ")} did not finish`;
  return new CapstanError("UPSTREAM", text);
}

/** A whole answer under the rules of {@link answer}. */
export function checkCompletion(completion: Completion, request: ChatRequest, framework: string): Completion {
  const { n = 1, sampling } = request;
  const { choices } = completion;
  if (choices.length !== n) {
    const text = `The adapter '${framework}' answered with ${choices.length} choices, and ${n} were asked for`;
    throw new CapstanError("UPSTREAM", text);
  }
  return { ...completion, choices: choices.map((choice) => cut(choice, sampling.stop ?? [])) };
}

function cut(choice: CompletionChoice, stops: readonly string[]): CompletionChoice {
  const text = new WholeCharacters().push(choice.text);
  const end = findStop(text, stops);
  return end === undefined ? { ...choice, text } : { ...choice, text: text.slice(0, end), reason: "stop" };
}

/**
 * The usage of an answer that was stopped before the adapter could count it: by its tokenizer where it has
 * one. Else a token is taken for each part of the output, and for every four bytes of the input, which is the
 * rule of thumb for English text.
 */
export async function countUsage(
  choice: Choice,
  request: ChatRequest,
  tokenize: ((text: string, call: Call) => Promise<readonly number[]>) | undefined,
  call: Call,
): Promise<Usage> {
  const input = inputText(request);
  if (tokenize === undefined) {
    return { inputTokens: Math.ceil(Buffer.byteLength(input) / 4), outputTokens: choice.tokens };
  }
  const [inputIds, outputIds] = [await tokenize(input, call), await tokenize(choice.written, call)];
  return { inputTokens: inputIds.length, outputTokens: outputIds.length };
}

function inputText({ prompt, messages = [] }: ChatRequest): string {
  if (prompt !== undefined) return prompt;
  const texts = messages.map(({ content }) =>
    typeof content === "string"
      ? content
      : content.map((part) => (typeof part.text === "string" ? part.text : "")).join(""),
  );
  return texts.join("\n");
}
