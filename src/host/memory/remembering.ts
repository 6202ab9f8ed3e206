import { createHash } from "node:crypto";
import {
  type Call,
  type CapLLM,
  type ChatRequest,
  CompletionFold,
  foldParts,
  type Message,
  type Part,
  type Session,
  toCapstanError,
} from "../../contracts/index.ts";
import { answerOf, answersTools, askedOf, continued } from "./history.ts";
import type { SessionTurn } from "./session-turn.ts";
import type { SharedStore } from "./shared-store.ts";
import { tokenCounter } from "./tokens.ts";
import { type CountTokens, mostTurns, recentTurns, type Window } from "./window.ts";

/** What a model remembers its conversations with. */
export interface ModelMemory {
  readonly store: SharedStore;
  readonly window: Window;
  readonly onError: "refuse" | "forget";
  /** @throws CapstanError INVALID_ARGUMENT for an id that no session has. */
  session(id: string, call: Call): Session;
}

/** A language model that remembers the requests that name a session; others go to it untouched. */
export function remembering(llm: CapLLM, memory: ModelMemory): CapLLM {
  const { predictText } = llm;
  const count = tokenCounter(llm);
  const streamTokens: CapLLM["streamTokens"] = (request, call) =>
    request.session === undefined
      ? llm.streamTokens(request, call)
      : remembered(llm, { ...memory, count }, request, request.session, call);
  return {
    ...llm,
    streamTokens,
    ...(predictText && {
      predictText: (request, call) =>
        request.session === undefined
          ? predictText.call(llm, request, call)
          : foldParts(streamTokens(request, call)),
    }),
  };
}

interface Counting extends ModelMemory {
  readonly count: CountTokens;
}

async function* remembered(
  llm: CapLLM,
  memory: Counting,
  request: ChatRequest,
  id: string,
  call: Call,
): AsyncGenerator<Part> {
  const asked = askedOf(request);
  if (asked === undefined) return yield* llm.streamTokens(request, call);
  const session = memory.session(id, call);
  const begun = await orForget(memory, call, () => begin(memory, session, answersTools(asked.fresh), call));
  if (begun === undefined) return yield* llm.streamTokens(request, call);
  await using turn = begun.turn;
  const { messages, turn: spoken } = continued(asked, begun.turns);
  const { prompt: _, ...rest } = request;
  const answer = new AnswerUnderWay(request.n ?? 1);
  for await (const part of llm.streamTokens({ ...rest, messages }, call)) {
    const message = answer.add(part);
    if (message !== undefined) {
      await orForget(memory, call, () => keep(turn, [...spoken, message], call));
      // The next turn need not wait until the end of this one was read.
      await turn[Symbol.asyncDispose]();
    }
    yield part;
  }
}

/** Takes the session's turn, and reads what is remembered of it. */
async function begin(memory: Counting, session: Session, needed: boolean, call: Call) {
  await using held = new AsyncDisposableStack();
  const { store, window, count } = memory;
  const turn = held.use(await store.begin(session, mostTurns(window), call));
  const turns = await recentTurns((last) => turn.read(last, call), window, needed, count, call);
  held.move();
  return { turn, turns };
}

function keep(begun: SessionTurn, messages: Message[], call: Call): Promise<void> {
  return begun.end([{ id: turnId(call.requestId, messages), messages, at: Date.now() }], call);
}

/** A request that is sent again with its id is one turn; the prompts of one request are several. */
function turnId(requestId: string, messages: readonly Message[]): string {
  const said = JSON.stringify(messages.slice(0, -1));
  return `${requestId}:${createHash("sha256").update(said).digest("hex").slice(0, 8)}`;
}

/** @returns undefined where the memory failed, and the model is to answer without it. */
async function orForget<T>(memory: ModelMemory, call: Call, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    const { code, message } = toCapstanError(error);
    if (memory.onError === "refuse" || call.signal.aborted || code === "INVALID_ARGUMENT") throw error;
    call.log.warn({ reason: message }, "This answer has no memory");
    return undefined;
  }
}

/** Knows when an answer is complete, and what is kept of it. */
class AnswerUnderWay {
  readonly #fold = new CompletionFold();
  #open: number;

  constructor(choices: number) {
    this.#open = choices;
  }

  /** The first choice as a message, at the finish of the last; undefined where it is no answer to keep. */
  add(part: Part): Message | undefined {
    this.#fold.add(part);
    if (part.type !== "finish") return undefined;
    this.#open -= 1;
    if (this.#open > 0) return undefined;
    const [first] = this.#fold.finish().choices;
    const { reason } = first!;
    return reason === "cancelled" || reason === "content_filter" ? undefined : answerOf(first!);
  }
}
