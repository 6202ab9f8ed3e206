import { unfenced } from "./tool.ts";

/** What an agent said in the ReAct format. */
export type Move =
  | { readonly kind: "answer"; readonly text: string }
  | { readonly kind: "action"; readonly tool: string; readonly input: string; readonly thought: string }
  | { readonly kind: "neither" };

export const STOP = "\nObservation";

const ANSWER = /(?:^|\n)\s*Final Answer:[ \t]*\n?/;
const ACTION = /(?:^|\n)\s*Action:[ \t]*(?<tool>[^\n]+)(?:\n\s*Action Input:\s*(?<input>[\s\S]*))?/;

/** The first action, or the answer, whichever comes first: what follows an action was made up. */
export function readMove(said: string): Move {
  const end = said.indexOf(STOP);
  const text = end < 0 ? said : said.slice(0, end);
  const answer = ANSWER.exec(text);
  const action = ACTION.exec(text);
  if (answer !== null && (action === null || answer.index < action.index)) {
    return { kind: "answer", text: text.slice(answer.index + answer[0].length) };
  }
  if (action === null) return { kind: "neither" };
  const { tool = "", input = "" } = action.groups!;
  const thought = text
    .slice(0, action.index)
    .replace(/^\s*Thought:\s*/, "")
    .trim();
  return {
    kind: "action",
    tool: tool.trim().replace(/^["'`*]+|["'`*]+$/g, ""),
    input: firstObject(input),
    thought,
  };
}

/** Small models go on after the arguments: they end with their object. */
function firstObject(input: string): string {
  const text = unfenced(input);
  for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}", end + 1)) {
    const candidate = text.slice(0, end + 1);
    if (isJson(candidate)) return candidate;
  }
  return text;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Passes on the text of an answer while it is being written, from its mark on. */
export class AnswerText {
  #before = "";
  #began = false;
  #acts = false;

  /** The part of the answer in this piece of text. */
  push(piece: string): string {
    if (this.#began) return piece;
    if (this.#acts) return "";
    this.#before += piece;
    const answer = ANSWER.exec(this.#before);
    const action = ACTION.exec(this.#before);
    this.#acts = action !== null && (answer === null || action.index < answer.index);
    if (answer === null || this.#acts || !/\S/.test(this.#before.slice(answer.index + answer[0].length)))
      return "";
    this.#began = true;
    return this.#before.slice(answer.index + answer[0].length);
  }
}
