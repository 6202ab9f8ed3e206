import type { Call, Message, Turn } from "../../contracts/index.ts";
import { answersTools, contentText } from "./history.ts";

/** How much of a conversation is put before a message; absent limits are none. */
export interface Window {
  readonly turns?: number | undefined;
  readonly tokens?: number | undefined;
}

export type CountTokens = (text: string, call: Call) => Promise<number>;

/** The newest turns of a session, oldest first; all of them without `last`. */
export type ReadTurns = (last: number | undefined) => Promise<readonly Turn[]>;

/** How many turns a window has room for at most, as each has a token or more; undefined for any number. */
export function mostTurns({ turns = Infinity, tokens = Infinity }: Window): number | undefined {
  const most = Math.min(turns, tokens);
  return most === Infinity ? undefined : most;
}

/**
 * The newest turns that fit. A turn that begins with the result of a tool stays together with the one that asked for
 * it, even where both do not fit: a model refuses the one without the other.
 * @param needed the newest is kept whatever its size, because what is new answers it.
 */
export async function recentTurns(
  read: ReadTurns,
  window: Window,
  needed: boolean,
  count: CountTokens,
  call: Call,
): Promise<Turn[]> {
  const exchanges = exchangesOf(await readBack(read, mostTurns(window)));
  const { turns = Infinity, tokens = Infinity } = window;
  const kept: Turn[][] = [];
  let [length, size] = [0, 0];
  for (const exchange of exchanges.toReversed()) {
    if (length >= turns) break;
    if (tokens !== Infinity) size += await count(textOf(exchange), call);
    if (size > tokens && !(needed && length === 0)) break;
    kept.unshift(exchange);
    length += exchange.length;
  }
  return kept.flat();
}

/** The newest turns, and those before that they cannot be without. */
async function readBack(read: ReadTurns, last: number | undefined): Promise<readonly Turn[]> {
  for (let length = last; ; length = length === undefined ? undefined : length * 2) {
    const turns = await read(length);
    if (length === undefined || turns.length < length || !answersTools(turns[0]!.messages)) return turns;
  }
}

/** Turns that belong together; results of tools whose question is gone are left out. */
function exchangesOf(turns: readonly Turn[]): Turn[][] {
  const exchanges: Turn[][] = [];
  for (const turn of turns) {
    if (!answersTools(turn.messages)) exchanges.push([turn]);
    else exchanges.at(-1)?.push(turn);
  }
  return exchanges;
}

function textOf(turns: readonly Turn[]): string {
  return turns
    .flatMap(({ messages }) => messages)
    .filter(({ role }) => role !== "system")
    .map(messageText)
    .join("\n");
}

function messageText({ role, content, toolCalls = [] }: Message): string {
  const calls = toolCalls.map((call) => `${call.name} ${call.arguments}`);
  return [`${role}: ${contentText(content)}`, ...calls].join("\n");
}
