import type { Message } from "../../src/contracts/index.ts";
import { ENOUGH_REACT, NEITHER, user } from "./prompts.ts";
import { AnswerText, type Move, readMove, STOP } from "./react-text.ts";
import type { Reply, Run } from "./run.ts";
import type { Answer, Worker } from "./worker.ts";

/** An agent that calls its tools in text. */
export async function workInText(worker: Worker, messages: Message[], run: Run): Promise<Answer> {
  for (let turn = 0; turn < worker.maxIter; turn++) {
    const { reply, move } = await think(worker, messages, run);
    messages.push({ role: "assistant", content: reply.text });
    if (move.kind === "answer") return { text: move.text, reason: reply.reason, messages };
    messages.push(user(`Observation: ${await act(worker, move, run)}`));
  }
  await run.step(worker.doer, "max_iter", { max_iter: worker.maxIter });
  return lastAnswer(worker, [...messages, user(ENOUGH_REACT)], run);
}

async function think({ llm, listen }: Worker, messages: readonly Message[], run: Run) {
  const answer = new AnswerText();
  const reply = await run.ask(llm, { messages: [...messages] }, [STOP], async (piece) =>
    listen?.(answer.push(piece)),
  );
  return { reply, move: readMove(reply.text) };
}

async function act(
  { doer, tools }: Worker,
  move: Exclude<Move, { kind: "answer" }>,
  run: Run,
): Promise<string> {
  if (move.kind === "neither") {
    await run.step(doer, "unreadable");
    return NEITHER;
  }
  if (move.thought !== "") await run.step(doer, "thought", { thought: move.thought });
  return run.useTool(doer, tools, move.tool, move.input);
}

/** Whatever comes is the answer: the mark, and thoughts before it, are left out where they are. */
async function lastAnswer({ llm, listen }: Worker, messages: readonly Message[], run: Run): Promise<Answer> {
  const reply: Reply = await run.ask(llm, { messages }, [STOP]);
  const move = readMove(reply.text);
  const text = move.kind === "answer" ? move.text : reply.text;
  const pieces = move.kind === "answer" ? [text] : reply.pieces;
  for (const piece of pieces) await listen?.(piece);
  return { text, reason: reply.reason, messages: [...messages, { role: "assistant", content: reply.text }] };
}
