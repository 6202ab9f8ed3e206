import { writeFile } from "node:fs/promises";
import { serve, TestRepository, type TestServer } from "./server.ts";

/** What the scripted model has done, of all tests of a file. */
export interface Script {
  /** Aborts that reached the model. */
  aborted: number;
  /** Text parts that were read of the last `flood`. */
  produced: number;
  /** Floods that are over. */
  floods: number;
}

/** It runs in the process of the test, so they share this. */
export const script: Script = { aborted: 0, produced: 0, floods: 0 };
(globalThis as { capstanScript?: Script }).capstanScript = script;

/** An adapter that does what the last message, or the prompt, says. */
const SCRIPTED = `
import { CapstanError, defineAdapter } from "capstan";
import { z } from "zod";

const script = globalThis.capstanScript;
const usage = { inputTokens: 3, outputTokens: 2 };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const text = (text, more = {}) => ({ type: "text", choice: 0, text, ...more });
const finish = (reason = "stop") => ({ type: "finish", choice: 0, reason, usage });
const lp = (token) => ({ content: [{ token, logprob: -0.5, bytes: null, top_logprobs: [] }], refusal: null });

const aborted = ({ signal }) => new Promise((_, reject) => {
  const stop = () => { script.aborted += 1; reject(signal.reason); };
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
});

const scripts = {
  async *seen(request) { yield text(ascii(JSON.stringify(request))); yield finish(); },
  async *tools() {
    yield text("Let me see.");
    yield { type: "tool-call", choice: 0, call: { id: "call_1", name: "weather", arguments: '{"city":"Rome"}' } };
    yield { type: "tool-call", choice: 0, call: { id: "call_2", name: "time", arguments: "{}" } };
    yield finish("tool_calls");
  },
  async *quiet() {
    yield { type: "tool-call", choice: 0, call: { id: "call_1", name: "weather", arguments: "{}" } };
    yield finish("tool_calls");
  },
  async *think() {
    yield { type: "step", choice: 0, name: "search" };
    yield { type: "reasoning", choice: 0, text: "Hm. " };
    yield { type: "reasoning", choice: 0, text: "Yes." };
    yield text("42");
    yield finish();
  },
  async *works() {
    yield { type: "step", choice: 0, name: "tool", detail: { city: "Rome" } };
    yield { type: "step", choice: 0, name: "rest" };
    yield text("Sunny");
    yield finish();
  },
  async *logprobs() { yield text("a", { logprobs: lp("a") }); yield text("b", { logprobs: lp("b") }); yield finish(); },
  async *refuse() { throw new CapstanError("RATE_LIMITED", "Come back later", { retryAfterMs: 1500 }); },
  async *burst() { throw new Error("a secret of the model's code"); },
  async *breaks() { yield text("one"); throw new CapstanError("UPSTREAM", "The upstream broke off"); },
  async *empty() { yield finish(); },
  async *slow() { yield text("one"); await pause(120); yield text(" two"); yield finish(); },
  async *silent(_, call) { await aborted(call); },
  async *forever(_, call) { yield text("one"); await aborted(call); },
  async *flood() {
    try {
      for (script.produced = 0; script.produced < 4000; script.produced++) yield text("x".repeat(16384));
      yield finish();
    } finally {
      script.floods += 1;
    }
  },
};

// So that no stop sequence is in what the model says it was asked for.
const ascii = (text) => text.replace(/[^ -~]/g, (c) => "\\\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
const asked = ({ prompt, messages }) => prompt ?? messages.at(-1).content;

export default defineAdapter({
  name: "scripted",
  options: z.strictObject({}),
  async load() {
    return {
      streamTokens: (request, call) => (scripts[asked(request)] ?? scripts.seen)(request, call),
      embed: async (texts) => texts.map((text) => Float32Array.of(text.length, 0.1, -1e-9)),
      passthrough: async (route, body, call) => {
        if (route === "audio/speech") return new Response(new Uint8Array([1, 2, 3]), { headers: { "content-type": "audio/wav" } });
        if (body instanceof Object && "get" in body) return Response.json({ route, file: await body.get("file").text(), model: body.get("model") });
        if (!body.stream) return Response.json({ route, body }, { status: 201, headers: { "x-upstream": "yes" } });
        const events = async function* () { yield Buffer.from("event: one\\ndata: {}\\n\\n"); if (body.breaks) throw new CapstanError("UPSTREAM", "The upstream broke off"); };
        return new Response(events(), { headers: { "content-type": "text/event-stream" } });
      },
      async [Symbol.asyncDispose]() {},
    };
  },
});`;

export interface LlmServer extends AsyncDisposable {
  readonly server: TestServer;
  readonly repository: TestRepository;
}

/** Puts the model `scripted` into a repository. */
export async function addScripted(repository: TestRepository): Promise<void> {
  await repository.write("scripted", llm("scripted", { framework: "./scripted.ts" }));
  await writeFile(repository.path("scripted", "scripted.ts"), SCRIPTED);
}

/** A server with the models `scripted` and, by default, `echo`, which repeats what it is told. */
export async function serveLlms(settings: Record<string, unknown> = {}, echo = true): Promise<LlmServer> {
  const repository = await TestRepository.create();
  await addScripted(repository);
  if (echo) await repository.write("echo", llm("echo", { framework: "echo" }));
  const server = await serve(repository.root, settings);
  return {
    server,
    repository,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await repository[Symbol.asyncDispose]();
    },
  };
}

function llm(name: string, extra: Record<string, unknown>) {
  return { name, implementation: "llm", parameters: { version: "7", extra } };
}

export interface ServerEvent {
  readonly event?: string;
  readonly id?: string;
  readonly data: string;
}

/** The events of a stream that has ended; comments are left out. */
export function eventsOf(text: string): ServerEvent[] {
  const blocks = text.split("\n\n").filter((block) => block !== "" && !block.startsWith(":"));
  return blocks.map((block) => {
    const fields = block
      .split("\n")
      .map((line) => [line.split(": ", 1)[0]!, line.slice(line.indexOf(": ") + 2)]);
    return Object.fromEntries(fields) as unknown as ServerEvent;
  });
}

/** The JSON of each event, the mark `[DONE]` as it is. */
export function dataOf(text: string): unknown[] {
  return eventsOf(text).map(({ data }) => (data === "[DONE]" ? data : (JSON.parse(data) as unknown)));
}
