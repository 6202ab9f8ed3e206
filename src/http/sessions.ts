import { CapstanError, type Message, type Turn } from "../contracts/index.ts";
import type { Conversations } from "../host/memory/memories.ts";
import type { Exchange } from "./exchange.ts";
import { toolCallBody } from "./openai/messages.ts";
import type { Route } from "./route.ts";
import { sendJson } from "./send.ts";
import { modelOf } from "./v2.ts";

/** The conversations a model remembers: each caller's own. */
export const sessionRoutes: Route[] = [
  { method: "GET", path: "/v2/models/:model/sessions", handle: list },
  { method: "GET", path: "/v2/models/:model/sessions/:session", handle: show },
  { method: "DELETE", path: "/v2/models/:model/sessions/:session", handle: clear },
];

async function list(x: Exchange): Promise<void> {
  const ids = await conversations(x).sessions(modelOf(x), x.call());
  return sendJson(x, 200, { sessions: ids.map((id) => ({ id })) });
}

async function show(x: Exchange): Promise<void> {
  const id = x.params.session!;
  const turns = await conversations(x).turns(modelOf(x), id, x.call());
  if (turns.length === 0) throw new CapstanError("NOT_FOUND", `You have no session ${JSON.stringify(id)}`);
  return sendJson(x, 200, { id, turns: turns.map(turnBody) });
}

/** A session that never was is as good as cleared. */
async function clear(x: Exchange): Promise<void> {
  const id = x.params.session!;
  await conversations(x).clear(modelOf(x), id, x.call());
  return sendJson(x, 200, { id, cleared: true });
}

function conversations({ parts }: Exchange): Conversations {
  if (parts.memories !== undefined) return parts.memories;
  throw new CapstanError("NOT_FOUND", "This server has no memory of conversations");
}

function turnBody({ id, at, messages }: Turn) {
  return { id, at, messages: messages.map(messageBody) };
}

/** As the OpenAI API writes messages. */
function messageBody({ role, content, name, toolCalls, toolCallId }: Message) {
  return {
    role,
    content,
    ...(name !== undefined && { name }),
    ...(toolCalls !== undefined && { tool_calls: toolCalls.map(toolCallBody) }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
  };
}
