import type { ChatRequest, CompletionChoice, ContentPart, Message, Turn } from "../../contracts/index.ts";

/** What a request brings along. */
export interface Asked {
  /** The system messages it begins with. */
  readonly instructions: readonly Message[];
  /** The conversation so far, as the caller has it: up to the last message of the assistant. */
  readonly past: readonly Message[];
  /** What is new. */
  readonly fresh: readonly Message[];
}

/** Undefined for a request that has no messages, and that the model will refuse. A prompt is what a user says. */
export function askedOf({ messages, prompt }: ChatRequest): Asked | undefined {
  const all = messages ?? (prompt === undefined ? undefined : [{ role: "user" as const, content: prompt }]);
  if (!Array.isArray(all) || all.length === 0) return undefined;
  const instructions = leading(all);
  const rest: readonly Message[] = all.slice(instructions.length);
  // An answer that the model is to go on with is new as well.
  const answered = rest.slice(0, -1).findLastIndex(({ role }) => role === "assistant") + 1;
  return { instructions, past: rest.slice(0, answered), fresh: rest.slice(answered) };
}

/** A request as the model gets it, and what of it belongs to the turn. */
export interface Continued {
  readonly messages: readonly Message[];
  readonly turn: readonly Message[];
}

/**
 * Puts what is remembered before what is new. A request that brings its own conversation keeps it, as it is the one
 * its caller sees, unless it is just the end of the remembered one. Instructions of the request take the place of
 * remembered ones; they are part of each turn, so that the newest turn always tells them.
 */
export function continued(asked: Asked, turns: readonly Turn[]): Continued {
  const remembered = turns.flatMap(({ messages }) => messages.slice(leading(messages).length));
  const known = leading(turns.at(-1)?.messages ?? []);
  const instructions = asked.instructions.length > 0 ? asked.instructions : known;
  const past = endsWith(remembered, asked.past) ? remembered : asked.past;
  return {
    messages: [...instructions, ...past, ...asked.fresh],
    turn: [...instructions, ...asked.fresh],
  };
}

/** The message that an answer is in the conversation. */
export function answerOf({ text, toolCalls }: CompletionChoice): Message {
  return { role: "assistant", content: text, ...(toolCalls.length > 0 && { toolCalls }) };
}

/** Whether messages begin with the result of a tool, and mean nothing without what asked for it. */
export function answersTools(messages: readonly Message[]): boolean {
  return messages[leading(messages).length]?.role === "tool";
}

function leading(messages: readonly Message[]): readonly Message[] {
  const first = messages.findIndex(({ role }) => role !== "system");
  return first === -1 ? messages : messages.slice(0, first);
}

function endsWith(all: readonly Message[], end: readonly Message[]): boolean {
  const start = all.length - end.length;
  return start >= 0 && end.every((message, index) => likeness(message) === likeness(all[start + index]!));
}

/** Clients trim what they were answered, and write text in parts: that makes no other message. */
function likeness({ role, content, toolCalls = [], toolCallId }: Message): string {
  const calls = toolCalls.map(({ id, name }) => [id, name]);
  return JSON.stringify([role, contentText(content).trim(), calls, toolCallId ?? null]);
}

/** Text of a message's content; parts that are not text stand as JSON. */
export function contentText(content: Message["content"]): string {
  return typeof content === "string" ? content : (content ?? []).map(partText).join("");
}

function partText(part: ContentPart): string {
  return part.type === "text" && typeof part.text === "string" ? part.text : JSON.stringify(part);
}
