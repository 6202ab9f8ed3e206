import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { eventually } from "./eventually.ts";

export interface UpstreamRequest {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Parsed where it is JSON. */
  readonly body: Record<string, unknown>;
  readonly raw: string;
}

export type Answer = (response: ServerResponse, request: UpstreamRequest) => unknown;

/** An OpenAI-compatible server in this process that answers as it is told, and remembers what it was asked. */
export class OpenaiUpstream implements AsyncDisposable {
  readonly requests: UpstreamRequest[] = [];
  /** Answers under way. */
  open = 0;
  /** Answers whose client left before their end. */
  left = 0;
  answer: Answer;
  readonly #server: Server;

  private constructor(answer: Answer) {
    this.answer = answer;
    this.#server = createServer(async (request, response) => {
      this.open += 1;
      response.on("close", () => {
        this.open -= 1;
        if (!response.writableFinished) this.left += 1;
      });
      const raw = await text(request).catch(() => "");
      const body = request.headers["content-type"] === "application/json" ? JSON.parse(raw) : {};
      const seen = { url: request.url!, headers: request.headers, body, raw };
      this.requests.push(seen);
      await this.answer(response, seen);
    });
  }

  static async start(answer: Answer = chat("hello", " there", " friend")): Promise<OpenaiUpstream> {
    const upstream = new OpenaiUpstream(answer);
    await new Promise<void>((resolve) => upstream.#server.listen(0, "127.0.0.1", resolve));
    return upstream;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Rejects when an answer stays under way. */
  async idle(): Promise<void> {
    await eventually(() => this.open === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export const EVENT_STREAM = { "content-type": "text/event-stream; charset=utf-8" };

export const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
export const DONE = "data: [DONE]\n\n";

/** A chunk with one choice. */
export const chunk = (delta: unknown, finish_reason: string | null = null, index = 0): string =>
  event({ object: "chat.completion.chunk", choices: [{ index, delta, finish_reason }] });

export const usage = (prompt_tokens: number, completion_tokens: number): string =>
  event({ choices: [], usage: { prompt_tokens, completion_tokens } });

/** Writes pieces one packet each, and ends. */
export function packets(...pieces: readonly (string | Uint8Array)[]): Answer {
  return async (response) => {
    response.writeHead(200, EVENT_STREAM);
    for (const piece of pieces) await write(response, piece);
    response.end();
  };
}

/** Resolves when the piece has had time to be a packet of its own. */
export async function write(response: ServerResponse, piece: string | Uint8Array): Promise<void> {
  await new Promise((resolve) => response.write(piece, resolve));
  await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Writes pieces and leaves the answer open. */
export function stalls(...pieces: readonly string[]): Answer {
  return async (response) => {
    if (pieces.length === 0) return;
    response.writeHead(200, EVENT_STREAM);
    for (const piece of pieces) await write(response, piece);
  };
}

/** Writes pieces and cuts the connection. */
export function cut(...pieces: readonly string[]): Answer {
  return async (response) => {
    response.writeHead(200, EVENT_STREAM);
    for (const piece of pieces) await write(response, piece);
    response.destroy();
  };
}

export function reply(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (response) => {
    const isText = typeof body === "string";
    response.writeHead(status, { "content-type": isText ? "text/html" : "application/json", ...headers });
    response.end(isText ? body : JSON.stringify(body));
  };
}

/** What a good upstream does with the routes there are. */
export function chat(...words: readonly string[]): Answer {
  return (response, request) => {
    if (request.url.includes("/embeddings")) return embed(response, request);
    if (Array.isArray(request.body.messages) && request.body.messages.length === 0) {
      return reply(400, { error: { message: "messages is empty", param: "messages" } })(response, request);
    }
    const choices = Array.from({ length: Number(request.body.n ?? 1) }, (_, index) => index);
    return request.body.stream === true
      ? streamed(response, words, choices)
      : whole(response, words, choices, request);
  };
}

async function streamed(response: ServerResponse, words: readonly string[], choices: readonly number[]) {
  response.writeHead(200, EVENT_STREAM);
  for (const index of choices) response.write(chunk({ role: "assistant", content: "" }, null, index));
  for (const content of words) {
    for (const index of choices) await write(response, chunk({ content }, null, index));
  }
  for (const index of choices) response.write(chunk({}, "stop", index));
  response.end(usage(7, words.length * choices.length) + DONE);
}

function whole(
  response: ServerResponse,
  words: readonly string[],
  choices: readonly number[],
  request: UpstreamRequest,
) {
  const content = words.join("");
  return reply(200, {
    choices: choices.map((index) => ({ index, message: { content }, finish_reason: "stop" })),
    usage: { prompt_tokens: 7, completion_tokens: words.length * choices.length },
  })(response, request);
}

function embed(response: ServerResponse, request: UpstreamRequest) {
  const data = (request.body.input as string[]).map((each, index) => {
    return { index, embedding: [each.length, each.charCodeAt(0) / 256, 0.5] };
  });
  return reply(200, { data: data.toReversed(), usage: { prompt_tokens: 11 } })(response, request);
}
