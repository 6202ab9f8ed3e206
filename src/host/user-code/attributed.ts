import type { Call, CapLLM, Runtime } from "../../contracts/index.ts";
import { type Owner, runAs } from "./strays.ts";

/** The same runtime; an error that its user code throws into the void ends the request that it belongs to. */
export function attributedRuntime(runtime: Runtime, owner: Owner): Runtime {
  const { platform, inputs, outputs, parameters, llm } = runtime;
  const { prepare, inferStream, ready } = runtime;
  return {
    ...(platform === undefined ? {} : { platform }),
    ...(inputs === undefined ? {} : { inputs }),
    ...(outputs === undefined ? {} : { outputs }),
    ...(parameters === undefined ? {} : { parameters }),
    ...(llm === undefined ? {} : { llm: attributedLLM(llm, owner) }),
    ...(prepare === undefined ? {} : { prepare: prepare.bind(runtime) }),
    ...(ready === undefined ? {} : { ready: ready.bind(runtime) }),
    ...(inferStream === undefined
      ? {}
      : {
          inferStream: (request, call) => each(owner, call, (inner) => runtime.inferStream!(request, inner)),
        }),
    infer: (request, call) => once(owner, call, (inner) => runtime.infer(request, inner)),
    [Symbol.asyncDispose]: () => runtime[Symbol.asyncDispose](),
  };
}

/** The same for a language model. */
export function attributedLLM(llm: CapLLM, owner: Owner): CapLLM {
  const { predictText, embed, tokenize, passthrough, inputs } = llm;
  return {
    streamTokens: (request, call) => each(owner, call, (inner) => llm.streamTokens(request, inner)),
    ...(predictText === undefined
      ? {}
      : { predictText: (request, call) => once(owner, call, (inner) => llm.predictText!(request, inner)) }),
    ...(embed === undefined
      ? {}
      : { embed: (texts, call) => once(owner, call, (inner) => llm.embed!(texts, inner)) }),
    ...(tokenize === undefined
      ? {}
      : { tokenize: (text, call) => once(owner, call, (inner) => llm.tokenize!(text, inner)) }),
    ...(passthrough === undefined ? {} : { passthrough: passthrough.bind(llm) }),
    ...(inputs === undefined ? {} : { inputs }),
    [Symbol.asyncDispose]: () => llm[Symbol.asyncDispose](),
  };
}

/** A call inside another one, which ends when code of the model throws into the void. */
function inside(call: Call) {
  const failure = new AbortController();
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const fail = (error: unknown) => {
    reject(error);
    failure.abort(error);
  };
  return { call: { ...call, signal: AbortSignal.any([call.signal, failure.signal]) }, failed, fail };
}

function once<T>(owner: Owner, call: Call, work: (call: Call) => Promise<T>): Promise<T> {
  const inner = inside(call);
  return Promise.race([runAs(owner, () => work(inner.call), inner.fail), inner.failed]);
}

async function* each<T>(
  owner: Owner,
  call: Call,
  start: (call: Call) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const inner = inside(call);
  const step = <R>(work: () => R): R => runAs(owner, work, inner.fail);
  const items = step(() => start(inner.call)[Symbol.asyncIterator]());
  const leave = () => step(async () => items.return?.());
  let failed = false;
  try {
    for (;;) {
      const next = await Promise.race([step(() => items.next()), inner.failed]);
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    failed = true;
    // It may hang: whoever waits has his error already.
    leave().catch(() => {});
    throw error;
  } finally {
    if (!failed) await leave();
  }
}
