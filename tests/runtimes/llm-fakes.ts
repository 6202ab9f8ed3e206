import llm from "../../runtimes/llm/index.ts";
import type { Call, CapLLM, ChatRequest, Part, Runtime, Sampling } from "../../src/contracts/index.ts";
import { collect, testCall, testHost } from "../../src/testing/index.ts";

export const SPEC = { name: "chat", version: "1", folder: "/nowhere" };

export const USAGE = { inputTokens: 7, outputTokens: 3 };

export const text = (value: string, choice = 0): Part => ({ type: "text", choice, text: value });
export const finish = (choice = 0, reason: "stop" | "length" = "length"): Part => {
  return { type: "finish", choice, reason, usage: USAGE };
};

export const ask = (content: string, sampling: Sampling = {}): ChatRequest => {
  return { messages: [{ role: "user", content }], sampling };
};

/** What became of the last stream of a fake adapter. */
export interface Trace {
  requests: ChatRequest[];
  read: number;
  left: number;
  disposed: number;
}

/** An adapter that gives these parts whatever it is asked, and keeps account. */
export function scripted(parts: readonly Part[], more: Partial<CapLLM> = {}): CapLLM & { trace: Trace } {
  const trace: Trace = { requests: [], read: 0, left: 0, disposed: 0 };
  return {
    trace,
    async *streamTokens(request) {
      trace.requests.push(request);
      try {
        for (const part of parts) {
          trace.read += 1;
          yield part;
        }
      } finally {
        trace.left += 1;
      }
    },
    async [Symbol.asyncDispose]() {
      trace.disposed += 1;
    },
    ...more,
  };
}

/** Gives parts as soon as the test does, and ends when the call is aborted. */
export function held(parts: readonly Part[], gate: Promise<unknown>): CapLLM {
  return scripted([], {
    async *streamTokens(_request, { signal }: Call) {
      const { promise, reject } = Promise.withResolvers<never>();
      const abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      try {
        await Promise.race([gate, promise]);
        yield* parts;
      } finally {
        signal.removeEventListener("abort", abort);
      }
    },
  });
}

/** The runtime over an adapter that a function loads. */
export async function openWith(
  adapter: (options: unknown, call: Call) => Promise<CapLLM> | CapLLM,
  options: Record<string, unknown> = {},
  call = testCall(),
): Promise<Runtime & { readonly llm: CapLLM }> {
  const parsed = llm.options.safeParse({ framework: "fake", ...options });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  const host = testHost({ adapter: async (_name, _model, rest, each) => adapter(rest, each) });
  return (await llm.load(SPEC, parsed.data, host, call)) as Runtime & { readonly llm: CapLLM };
}

export const open = (adapter: CapLLM, options?: Record<string, unknown>) => openWith(() => adapter, options);

/** The parts that callers see of what an adapter gives. */
export async function seen(
  adapter: CapLLM,
  request = ask("hello"),
  options: Record<string, unknown> = {},
): Promise<Part[]> {
  await using runtime = await open(adapter, options);
  return await collect(runtime.llm.streamTokens(request, testCall()));
}
