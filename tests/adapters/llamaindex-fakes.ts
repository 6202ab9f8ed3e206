import { fileURLToPath } from "node:url";
import llamaindex from "../../adapters/llamaindex/index.ts";
import {
  type Call,
  type CapLLM,
  CapstanError,
  type ChatRequest,
  type Host,
  type ModelClient,
  type ModelSpec,
  type Part,
} from "../../src/contracts/index.ts";
import { UserModule } from "../../src/host/user-code/user-module.ts";
import { collect, testCall, testHost } from "../../src/testing/index.ts";

export const fixture = (path: string) =>
  fileURLToPath(new URL(`../fixtures/llamaindex/${path}`, import.meta.url));

export const spec = (folder: string, name = "app"): ModelSpec => ({
  name,
  version: "1",
  folder,
  artifact: folder,
});

/** Counts four words, as the fixtures' vectors do. */
export class Counts {
  readonly texts: string[] = [];
  readonly #words: readonly string[];

  constructor(words: readonly string[] = ["cat", "dog", "tree", "river"]) {
    this.#words = words;
  }

  embed = async (texts: readonly string[], { signal }: Call): Promise<Float32Array[]> => {
    signal.throwIfAborted();
    this.texts.push(...texts);
    return texts.map((text) =>
      Float32Array.from(this.#words, (word) => text.toLowerCase().split(word).length - 1 + 0.1),
    );
  };
}

/** A language model that gives one answer after the other, word by word; the last again. */
export class Speaker {
  readonly requests: ChatRequest[] = [];
  /** Streams that were begun, and those that are over. */
  begun = 0;
  closed = 0;
  readonly #answers: readonly (readonly Part[])[];

  constructor(...answers: readonly (string | readonly Part[])[]) {
    this.#answers = answers.map((answer) => (typeof answer === "string" ? spoken(answer) : answer));
  }

  async *chat(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    call.signal.throwIfAborted();
    const answer = this.#answers[Math.min(this.requests.length, this.#answers.length - 1)]!;
    this.requests.push(request);
    this.begun += 1;
    try {
      for (const part of answer) {
        await new Promise(setImmediate);
        call.signal.throwIfAborted();
        yield part;
      }
      // An answer without its end goes on until somebody stops it.
      if (answer.at(-1)?.type !== "finish") await aborted(call.signal);
    } finally {
      this.closed += 1;
    }
  }
}

export const finish = (reason: "stop" | "length" | "tool_calls" = "stop"): Part => {
  return { type: "finish", choice: 0, reason, usage: { inputTokens: 5, outputTokens: 2 } };
};

export const words = (text: string): Part[] =>
  (text.match(/\s*\S+/g) ?? []).map((word) => ({ type: "text", choice: 0, text: word }));

const spoken = (text: string): Part[] => [...words(text), finish()];

export const toolCall = (name: string, input: string): Part[] => [
  { type: "tool-call", choice: 0, call: { id: "call_1", name, arguments: input } },
  finish("tool_calls"),
];

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  if (signal.aborted) reject(signal.reason);
  else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return promise;
}

/** A host with these models, which imports code of the folder as the server does. */
export function hostOf(folder: string, models: Readonly<Record<string, Partial<ModelClient>>>): Host {
  return testHost({
    code: (file, call) => UserModule.import(folder, file, call),
    model: (name) => (models[name] ?? missing(name)) as ModelClient,
  });
}

/** As the data plane answers for a model that is not there. */
function missing(name: string): Partial<ModelClient> {
  const fault = () => new CapstanError("NOT_FOUND", `Model '${name}' is not found`);
  return {
    embed: () => Promise.reject(fault()),
    chat: () => {
      throw fault();
    },
  };
}

export const MODELS = { llm: "capstan:writer", embed: "capstan:counts" };

export async function load(model: ModelSpec, host: Host, options: object = MODELS, call = testCall()) {
  const parsed = llamaindex.options.safeParse(options);
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return llamaindex.load(model, parsed.data, host, call);
}

export const says = (text: string): ChatRequest => ({
  messages: [{ role: "user", content: text }],
  sampling: {},
});

export const ask = (llm: CapLLM, request: ChatRequest | string, call = testCall()): Promise<Part[]> =>
  collect(llm.streamTokens(typeof request === "string" ? says(request) : request, call));

export const textOf = (parts: readonly Part[]) =>
  parts.map((part) => (part.type === "text" ? part.text : "")).join("");

/** The detail of each step of a name. */
export const steps = (parts: readonly Part[], name: string): unknown[] =>
  parts.flatMap((part) => (part.type === "step" && part.name === name ? [part.detail] : []));
