import crew from "../../adapters/crew/index.ts";
import type {
  Call,
  ChatRequest,
  Host,
  Log,
  ModelClient,
  ModelSpec,
  Part,
  ToolCall,
} from "../../src/contracts/index.ts";
import { UserModule } from "../../src/host/user-code/user-module.ts";
import { collect, testCall, testHost } from "../../src/testing/index.ts";

/** What a scripted model says next: text, tool calls, an error, or something that depends on what it is asked. */
export type Line =
  | string
  | Error
  | readonly ToolCall[]
  | ((request: ChatRequest, call: Call) => Line | Promise<Line>);

/** A language model that says one line after the other; the last again and again. */
export class Scripted {
  readonly requests: ChatRequest[] = [];
  /** Streams that are under way. */
  open = 0;
  readonly #lines: readonly Line[];

  constructor(...lines: Line[]) {
    this.#lines = lines;
  }

  async *chat(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    call.signal.throwIfAborted();
    const line = this.#lines[Math.min(this.requests.length, this.#lines.length - 1)]!;
    this.requests.push(request);
    this.open += 1;
    try {
      yield* partsOf(await said(line, request, call), call);
    } finally {
      this.open -= 1;
    }
  }

  /** The whole conversation of a request as text. */
  seen(index: number): string {
    return this.requests[index]!.messages!.map(({ role, content }) => `${role}: ${String(content)}`).join(
      "\n",
    );
  }
}

async function said(
  line: Line,
  request: ChatRequest,
  call: Call,
): Promise<Exclude<Line, (...args: never) => unknown>> {
  return typeof line === "function" ? said(await line(request, call), request, call) : line;
}

async function* partsOf(line: Exclude<Line, (...args: never) => unknown>, call: Call): AsyncGenerator<Part> {
  if (line instanceof Error) throw line;
  const usage = { inputTokens: 3, outputTokens: 2 };
  if (typeof line !== "string") {
    for (const each of line) yield { type: "tool-call", choice: 0, call: each };
    yield { type: "finish", choice: 0, reason: "tool_calls", usage };
    return;
  }
  for (const text of line.match(/\s*\S+\s*$|\s*\S+|\s+/g) ?? []) {
    await new Promise(setImmediate);
    call.signal.throwIfAborted();
    yield { type: "text", choice: 0, text };
  }
  yield { type: "finish", choice: 0, reason: "stop", usage };
}

export const toolCall = (name: string, input: string, id = "call_1"): ToolCall => ({
  id,
  name,
  arguments: input,
});

/** Goes on until somebody stops it. */
export const forever: Line = (_, { signal }) => {
  const { promise, reject } = Promise.withResolvers<never>();
  if (signal.aborted) reject(signal.reason);
  else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return promise;
};

export const spec = (folder: string): ModelSpec => ({ name: "team", version: "1", folder, artifact: folder });

/** A host with these models, which imports code of the folder as the server does. */
export function hostOf(
  folder: string,
  models: Readonly<Record<string, Scripted>>,
  more: Partial<Host> = {},
): Host {
  return testHost({
    code: (file, call) => UserModule.import(folder, file, call),
    model: (name) => ({ chat: models[name]!.chat.bind(models[name]) }) as unknown as ModelClient,
    ...more,
  });
}

export async function load(folder: string, host: Host, options: object = {}, call = testCall()) {
  const parsed = crew.options.safeParse({ llm: "capstan:writer", ...options });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return crew.load(spec(folder), parsed.data, host, call);
}

/** Loads a crew whose agents all use one model, and asks it once. */
export async function ask(
  folder: string,
  model: Scripted,
  request: Partial<ChatRequest> | string,
  options: object = {},
) {
  await using llm = await load(folder, hostOf(folder, { writer: model }), options);
  const asked = typeof request === "string" ? says(request) : { ...says("x"), ...request };
  return await collect(llm.streamTokens(asked, testCall()));
}

export const says = (text: string): ChatRequest => ({
  messages: [{ role: "user", content: text }],
  sampling: {},
});

export const textOf = (parts: readonly Part[]) =>
  parts.map((part) => (part.type === "text" ? part.text : "")).join("");

export interface Step {
  readonly task: string;
  readonly agent: string;
  readonly kind: string;
  readonly [field: string]: unknown;
}

export const steps = (parts: readonly Part[]): Step[] =>
  parts.flatMap((part) => (part.type === "step" && part.name === "crew_step" ? [part.detail as Step] : []));

/** `kind task agent` of each step. */
export const kinds = (parts: readonly Part[]) =>
  steps(parts).map(({ kind, task, agent }) => `${kind} ${task} ${agent}`);

export const agent = (more: object = {}) => ({
  role: "Writer",
  goal: "Write well",
  backstory: "You like words.",
  ...more,
});

export const task = (name: string, more: object = {}) => ({
  name,
  description: `Do ${name}`,
  expected_output: "A sentence",
  agent: "writer",
  ...more,
});

/** The files of a crew in CrewAI's JSON form: one agent `writer`, and whatever else is given. */
export function jsonCrew(
  crewFields: object,
  files: Readonly<Record<string, unknown>> = {},
): Record<string, string> {
  const all = {
    "crew.jsonc": { agents: ["writer"], ...crewFields },
    "agents/writer.jsonc": agent(),
    ...files,
  };
  const entries = Object.entries(all).map(([name, content]) => {
    return [name, typeof content === "string" ? content : JSON.stringify(content, null, 2)];
  });
  return Object.fromEntries(entries);
}

/** A log that keeps its warnings. */
export function listeningLog(): { readonly log: Log; readonly warnings: string[] } {
  const warnings: string[] = [];
  const quiet = () => {};
  return {
    warnings,
    log: { debug: quiet, info: quiet, error: quiet, warn: (_, text) => warnings.push(text) },
  };
}
