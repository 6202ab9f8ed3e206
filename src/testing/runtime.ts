import assert from "node:assert/strict";
import {
  type Call,
  elementCount,
  type Host,
  type InferRequest,
  type InferResponse,
  type ModelSpec,
  type Runtime,
  type RuntimePlugin,
} from "../contracts/index.ts";
import { testCall, testHost } from "./call.ts";
import {
  abortableCall,
  abortedCall,
  assertNoListeners,
  type ContractCase,
  caseWith,
  disposalCases,
  type Opened,
  optionCases,
  parseOptions,
  rejectsWithCode,
  rejectsWithReason,
} from "./checks.ts";

/** How to make a model this runtime serves, and what to ask it. */
export interface RuntimeFixture {
  /** As in `parameters.extra`. */
  readonly options?: unknown;
  readonly host?: Host;
  model(): ModelSpec | Promise<ModelSpec>;
  /** A request the model answers, always alike. */
  request(): InferRequest;
  /** A request that is the caller's fault. */
  badRequest?(): InferRequest;
  /** A request with two or more streamed answers. Give it where the runtime has `inferStream`. */
  streamRequest?(): InferRequest;
  /** A model whose artifact is not there. Leave out where a model has no artifact. */
  missing?(): ModelSpec | Promise<ModelSpec>;
  /** Rejects while an answer nobody waits for is still being worked on. For runtimes with an upstream. */
  idle?(): Promise<void>;
}

/** What every runtime must do: `for (const c of runtimeContract(plugin, fixture)) it(c.name, c.run)`. */
export function runtimeContract<O>(plugin: RuntimePlugin<O>, fixture: RuntimeFixture): ContractCase[] {
  const load = async (model: ModelSpec, call = testCall()): Promise<Runtime> =>
    plugin.load(model, parseOptions(plugin, fixture.options), fixture.host ?? testHost(), call);
  const open: Opened<Runtime> = async (call) => load(await fixture.model(), call);
  return [
    ...optionCases(plugin, fixture.options),
    ...loadCases(fixture, load, open),
    ...answerCases(fixture, open),
    ...abortCases(fixture, open),
    ...streamCases(fixture, open),
    ...disposalCases(open),
    ...lateCases(fixture, open),
  ];
}

function loadCases(
  fixture: RuntimeFixture,
  load: (model: ModelSpec) => Promise<Runtime>,
  open: Opened<Runtime>,
): ContractCase[] {
  const aborted: ContractCase = {
    name: "does not load when aborted",
    async run() {
      const before = abortedCall();
      await rejectsWithReason(open(before.call), before);
    },
  };
  const { missing } = fixture;
  if (missing === undefined) return [aborted];
  return [
    aborted,
    {
      name: "fails to load a missing artifact with LOAD_FAILED",
      run: async () => rejectsWithCode(load(await missing()), "LOAD_FAILED"),
    },
  ];
}

function answerCases(fixture: RuntimeFixture, open: Opened<Runtime>): ContractCase[] {
  const test = caseWith(open);
  const { badRequest } = fixture;
  const cases = [
    test("answers with tensors that fit its signature", async (runtime) => {
      const call = testCall();
      const response = await runtime.infer(fixture.request(), call);
      assertFits(runtime, response);
      assertNoListeners(call);
    }),
    test("answers with at least the outputs asked for", async (runtime) => {
      const { outputs } = await runtime.infer(fixture.request(), testCall());
      const name = outputs[outputs.length - 1]!.name;
      const some = await runtime.infer({ ...fixture.request(), outputs: [{ name }] }, testCall());
      assert.deepEqual(byName(some).get(name), byName({ outputs }).get(name));
    }),
    test("keeps concurrent calls apart", async (runtime) => {
      const expected = await runtime.infer(fixture.request(), testCall());
      const aborted = abortableCall();
      const calls = Array.from({ length: 8 }, () => runtime.infer(fixture.request(), testCall()));
      const lost = runtime.infer(fixture.request(), aborted.call);
      aborted.abort();
      await rejectsWithReason(lost, aborted);
      for (const answer of await Promise.all(calls)) assert.deepEqual(answer.outputs, expected.outputs);
    }),
  ];
  if (badRequest === undefined) return cases;
  const refuses = test("answers a faulty request with INVALID_ARGUMENT, and goes on", async (runtime) => {
    await rejectsWithCode(runtime.infer(badRequest(), testCall()), "INVALID_ARGUMENT");
    await runtime.infer(fixture.request(), testCall());
  });
  return [...cases, refuses];
}

function abortCases(fixture: RuntimeFixture, open: Opened<Runtime>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("does not start when aborted", async (runtime) => {
      const aborted = abortedCall();
      await rejectsWithReason(runtime.infer(fixture.request(), aborted.call), aborted);
      await fixture.idle?.();
    }),
    test("rejects with the reason when aborted at work, and goes on", async (runtime) => {
      const aborted = abortableCall();
      const work = runtime.infer(fixture.request(), aborted.call);
      aborted.abort();
      await rejectsWithReason(work, aborted);
      await fixture.idle?.();
      await runtime.infer(fixture.request(), testCall());
    }),
  ];
}

function streamCases(fixture: RuntimeFixture, open: Opened<Runtime>): ContractCase[] {
  const test = caseWith(open);
  const request = fixture.streamRequest;
  if (request === undefined) return [];
  const stream = (runtime: Runtime, call: Call): AsyncIterable<InferResponse> => {
    assert.ok(runtime.inferStream !== undefined, "the runtime has no inferStream");
    return runtime.inferStream(request(), call);
  };
  return [
    test("streams answers that fit its signature", async (runtime) => {
      const call = testCall();
      for await (const response of stream(runtime, call)) assertFits(runtime, response);
      assertNoListeners(call);
    }),
    test("stops a stream that is left early", async (runtime) => {
      const call = testCall();
      for await (const response of stream(runtime, call)) {
        assertFits(runtime, response);
        break;
      }
      assertNoListeners(call);
      await fixture.idle?.();
    }),
    test("does not start a stream when aborted", async (runtime) => {
      const aborted = abortedCall();
      await rejectsWithReason(Array.fromAsync(stream(runtime, aborted.call)), aborted);
      await fixture.idle?.();
    }),
    test("ends a stream with the reason when aborted within it", async (runtime) => {
      const aborted = abortableCall();
      const read = async (): Promise<void> => {
        for await (const _ of stream(runtime, aborted.call)) aborted.abort();
      };
      await rejectsWithReason(read(), aborted);
      await fixture.idle?.();
    }),
  ];
}

function lateCases(fixture: RuntimeFixture, open: Opened<Runtime>): ContractCase[] {
  return [
    {
      name: "finishes what is in flight before it is disposed",
      async run() {
        const runtime = await open();
        const answer = runtime.infer(fixture.request(), testCall());
        await runtime[Symbol.asyncDispose]();
        assertFits(runtime, await answer);
      },
    },
    {
      name: "refuses to work once disposed",
      async run() {
        const runtime = await open();
        await runtime[Symbol.asyncDispose]();
        await rejectsWithCode(runtime.infer(fixture.request(), testCall()), "NOT_READY");
      },
    },
  ];
}

function byName({ outputs }: InferResponse): Map<string, unknown> {
  return new Map(outputs.map((tensor) => [tensor.name, tensor]));
}

function assertFits(runtime: Runtime, { outputs }: InferResponse): void {
  assert.ok(outputs.length > 0, "no outputs");
  for (const { name, datatype, shape, data } of outputs) {
    assert.equal(elementCount(shape), data.length, `output '${name}': shape and number of elements differ`);
    if (runtime.outputs === undefined) continue;
    const spec = runtime.outputs.find((known) => known.name === name);
    assert.ok(spec !== undefined, `output '${name}' is not in the signature`);
    assert.equal(datatype, spec.datatype, `output '${name}': datatype`);
  }
}
