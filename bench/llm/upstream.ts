/**
 * An OpenAI-compatible server that answers by script, so that what stands in front of it is all that is measured.
 * `GET /left` tells when each client left before its answer was complete, in milliseconds since 1970.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Script } from "./script.ts";

const BASE = { id: "chatcmpl-1", created: 1, model: "upstream" };
const EVENT = eventOf({ content: " word" }, null);
const LAST = `${eventOf({}, "stop")}data: [DONE]\n\n`;
const USAGE = { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 };
const MESSAGE = {
  role: "assistant",
  content: "A short answer of some twenty words, as they are given. ".repeat(2),
};
const WHOLE = JSON.stringify({
  ...BASE,
  object: "chat.completion",
  choices: [{ index: 0, message: MESSAGE, finish_reason: "stop" }],
  usage: USAGE,
});

function eventOf(delta: object, finish_reason: string | null): string {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason }];
  return `data: ${JSON.stringify({ ...BASE, object: "chat.completion.chunk", choices })}\n\n`;
}

const left: number[] = [];

function answer(body: string, response: ServerResponse): void {
  const { stream, messages } = JSON.parse(body) as { stream: boolean; messages: { content: string }[] };
  const script = JSON.parse(messages.at(-1)!.content) as Script;
  if (stream) streamEvents(script, response);
  else answerWhole(script, response);
}

function answerWhole({ gapMs }: Script, response: ServerResponse): void {
  response.setHeader("content-type", "application/json");
  if (gapMs === 0) return void response.end(WHOLE);
  const timer = setTimeout(() => response.end(WHOLE), gapMs);
  response.once("close", () => clearTimeout(timer));
}

function streamEvents({ events, gapMs }: Script, response: ServerResponse): void {
  response.setHeader("content-type", "text/event-stream").write(EVENT);
  let sent = 1;
  if (sent === events) return void response.end(LAST);
  const timer = setInterval(() => {
    sent += 1;
    if (sent < events) return void response.write(EVENT);
    clearInterval(timer);
    response.end(EVENT + LAST);
  }, gapMs);
  response.once("close", () => clearInterval(timer));
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === "/left") return void response.end(JSON.stringify(left));
  response.once("close", () => {
    if (!response.writableFinished) left.push(performance.timeOrigin + performance.now());
  });
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  answer(Buffer.concat(chunks).toString("utf8"), response);
}

const server = createServer((request, response) => {
  handle(request, response).catch(() => response.destroy());
});
server.keepAliveTimeout = 120_000;
server.listen(0, "127.0.0.1", 4096, () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ msg: "ready", http: `127.0.0.1:${port}` }));
});
process.on("SIGTERM", () => process.exit(0));
