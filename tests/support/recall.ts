import { writeFile } from "node:fs/promises";
import { serve, TestRepository, type TestServer } from "./server.ts";

/** An adapter that knows the name its user once told, says what it was sent, or does what it is told. */
const RECALL = `
import { CapstanError, defineAdapter } from "capstan";
import { z } from "zod";

const usage = { inputTokens: 1, outputTokens: 1 };
const text = (text, choice = 0) => ({ type: "text", choice, text });
const finish = (reason = "stop", choice = 0) => ({ type: "finish", choice, reason, usage });
const textOf = ({ content }) => typeof content === "string" ? content : content.map((part) => part.text).join("");

async function* answer(request, call) {
  const { messages, n = 1 } = request;
  const said = textOf(messages.at(-1));
  if (said === "what do you see?") yield text(JSON.stringify(messages.map(({ role, content }) => role + ": " + content)));
  else if (said === "weather?") {
    yield { type: "tool-call", choice: 0, call: { id: "c1", name: "weather", arguments: "{}" } };
    return yield finish("tool_calls");
  }
  else if (said === "break") { yield text("one"); throw new CapstanError("UPSTREAM", "It broke"); }
  else if (said === "filter") { yield text("no"); return yield finish("content_filter"); }
  else if (said === "wait") { yield text("one"); await new Promise((_, reject) => call.signal.addEventListener("abort", () => reject(call.signal.reason))); }
  else if (said === "slowly") { await new Promise((resolve) => setTimeout(resolve, 50)); yield text("done"); }
  else {
    const told = messages.map(textOf).map((text) => /my name is (\\w+)/.exec(text)?.[1]).findLast(Boolean);
    for (let choice = 0; choice < n; choice++) yield text("You are " + (told ?? "a stranger"), choice);
  }
  for (let choice = 0; choice < n; choice++) yield finish("stop", choice);
}

export default defineAdapter({
  name: "recall",
  options: z.strictObject({}),
  load: async () => ({ streamTokens: answer, async [Symbol.asyncDispose]() {} }),
});`;

/** Writes a model folder whose model remembers with `memory`. */
export async function addRecall(
  repository: TestRepository,
  name: string,
  memory: unknown,
  more: object = {},
): Promise<void> {
  const extra = { framework: "./recall.ts", ...(memory === undefined ? {} : { memory }), ...more };
  await repository.write(name, { name, implementation: "llm", parameters: { extra } });
  await writeFile(repository.path(name, "recall.ts"), RECALL);
}

/** A caller of a server's model. */
export class Talker {
  readonly server: TestServer;
  readonly model: string;

  constructor(server: TestServer, model: string) {
    this.server = server;
    this.model = model;
  }

  /** The answer over OpenAI's API. */
  async says(said: string | readonly object[], session?: string, more: object = {}): Promise<string> {
    const messages = typeof said === "string" ? [{ role: "user", content: said }] : said;
    const body = { model: this.model, messages, ...(session && { conversation: session }), ...more };
    const answer = await this.server.post("/v1/chat/completions", body);
    const { choices, error } = answer.body as {
      choices?: { message: { content: string | null } }[];
      error?: { message: string };
    };
    if (choices === undefined) throw new Error(`${answer.status} ${error?.message}`);
    return choices[0]!.message.content ?? "";
  }

  /** The messages the model is sent, as `role: text`. */
  async sees(session?: string, before: readonly object[] = []): Promise<string[]> {
    const asked = await this.says([...before, { role: "user", content: "what do you see?" }], session);
    return JSON.parse(asked) as string[];
  }

  async turns(session: string): Promise<{ messages: { role: string; content: string }[] }[]> {
    const path = `/v2/models/${this.model}/sessions/${encodeURIComponent(session)}`;
    const { status, body } = await this.server.get(path);
    return status === 200
      ? (body as { turns: { messages: { role: string; content: string }[] }[] }).turns
      : [];
  }
}

export interface RecallServer extends AsyncDisposable {
  readonly server: TestServer;
  readonly repository: TestRepository;
}

/** A server whose model `recall` remembers in the memory `chats`. */
export async function serveRecall(
  chats: object,
  models: Readonly<Record<string, unknown>> = { recall: "chats" },
): Promise<RecallServer> {
  const repository = await TestRepository.create();
  for (const [name, memory] of Object.entries(models)) await addRecall(repository, name, memory);
  const server = await serve(repository.root, { memory: { chats } });
  return {
    server,
    repository,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await repository[Symbol.asyncDispose]();
    },
  };
}
