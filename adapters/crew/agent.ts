import type { Message } from "../../src/contracts/index.ts";
import { isToolRefusal } from "./models.ts";
import { type Assignment, ENOUGH, manual, opening, toolDefinitions, user } from "./prompts.ts";
import { workInText } from "./react.ts";
import type { Reply, Run } from "./run.ts";
import type { Answer, Worker } from "./worker.ts";

/** Lets an agent work until it answers, or was asked `maxIter` times; then it must answer with what it has. */
export async function work(worker: Worker, assignment: Assignment, run: Run): Promise<Answer> {
  const { llm, tools, toolCalling, person } = worker;
  const messages = opening(person, assignment);
  if (tools.length === 0) return answerNow(worker, messages, run);
  const tryNative = toolCalling === "native" || (toolCalling === "auto" && !llm.refusesTools);
  const answer = tryNative ? await workNatively(worker, messages, run) : undefined;
  return answer ?? workInText(worker, opening(person, assignment, manual(tools)), run);
}

/** Undefined when the model turns out to take no tools. */
async function workNatively(worker: Worker, messages: Message[], run: Run): Promise<Answer | undefined> {
  const { tools, doer } = worker;
  for (let turn = 0; turn < worker.maxIter; turn++) {
    const reply = await askWithTools(worker, [...messages], run);
    if (reply === undefined) return undefined;
    if (reply.toolCalls.length === 0) {
      for (const piece of reply.pieces) await worker.listen?.(piece);
      return answerOf(reply, messages);
    }
    messages.push({ role: "assistant", content: reply.text, toolCalls: reply.toolCalls });
    for (const { id, name, arguments: input } of reply.toolCalls) {
      const content = await run.useTool(doer, tools, name, input);
      messages.push({ role: "tool", content, name, toolCallId: id });
    }
  }
  await run.step(doer, "max_iter", { max_iter: worker.maxIter });
  return answerNow(worker, [...messages, user(ENOUGH)], run);
}

async function askWithTools(worker: Worker, messages: Message[], run: Run): Promise<Reply | undefined> {
  const { llm, tools, toolCalling } = worker;
  try {
    return await run.ask(llm, { messages, tools: toolDefinitions(tools) });
  } catch (error) {
    if (toolCalling !== "auto" || !isToolRefusal(error)) throw error;
    llm.refusesTools = true;
    return undefined;
  }
}

/** Asks without tools: what comes is the answer. */
export async function answerNow(
  { llm, listen }: Worker,
  messages: readonly Message[],
  run: Run,
): Promise<Answer> {
  return answerOf(await run.ask(llm, { messages }, [], listen), messages);
}

function answerOf({ text, reason }: Reply, messages: readonly Message[]): Answer {
  return { text, reason, messages: [...messages, { role: "assistant", content: text }] };
}
