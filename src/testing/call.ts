import { type Call, CapstanError, type Host, type Log } from "../contracts/index.ts";

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A call that nobody aborts and whose log is silent. */
export function testCall(overrides: Partial<Call> = {}): Call {
  return { signal: new AbortController().signal, requestId: "test", log: quiet, ...overrides };
}

/** A host that has nothing but what is given; asking it for more is an UNSUPPORTED error that says so. */
export function testHost(overrides: Partial<Host> = {}): Host {
  const missing = (what: string): CapstanError =>
    new CapstanError("UNSUPPORTED", `testHost has no ${what}: give it as testHost({ ${what}: ... })`);
  return {
    runtime: () => Promise.reject(missing("runtime")),
    adapter: () => Promise.reject(missing("adapter")),
    model: () => {
      throw missing("model");
    },
    fetch: () => Promise.reject(missing("fetch")),
    code: () => Promise.reject(missing("code")),
    languageModel: (llm) => llm,
    ...overrides,
  };
}

/** Everything an iterable yields, in order. */
export function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  return Array.fromAsync(items);
}
