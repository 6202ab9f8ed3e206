import assert from "node:assert/strict";
import {
  type AdapterPlugin,
  type CapLLM,
  type ChatRequest,
  type Completion,
  type Host,
  type ModelSpec,
  type Part,
  withTokens,
} from "../contracts/index.ts";
import { collect, testCall, testHost } from "./call.ts";
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

/** How to make a model this adapter serves, and what to ask it. */
export interface AdapterFixture {
  /** As in `parameters.extra`. */
  readonly options?: unknown;
  readonly host?: Host;
  model(): ModelSpec | Promise<ModelSpec>;
  /** A request answered with at least two text parts, always with the same text. */
  request(): ChatRequest;
  /** How many choices to ask for at once. Leave out where the adapter gives only one. */
  readonly choices?: number;
  /** A request that is the caller's fault. */
  badRequest?(): ChatRequest;
  /** A model whose artifact is not there. Leave out where a model has no artifact. */
  missing?(): ModelSpec | Promise<ModelSpec>;
  /** Rejects while an answer nobody waits for is still being worked on. For adapters with an upstream. */
  idle?(): Promise<void>;
}

/** What every adapter must do: `for (const c of adapterContract(plugin, fixture)) it(c.name, c.run)`. */
export function adapterContract<O>(plugin: AdapterPlugin<O>, fixture: AdapterFixture): ContractCase[] {
  const load = async (model: ModelSpec, call = testCall()): Promise<CapLLM> =>
    plugin.load(model, parseOptions(plugin, fixture.options), fixture.host ?? testHost(), call);
  const open: Opened<CapLLM> = async (call) => load(await fixture.model(), call);
  const { missing } = fixture;
  const missingCase: ContractCase = {
    name: "fails to load a missing artifact with LOAD_FAILED",
    run: async () => rejectsWithCode(load(await missing!()), "LOAD_FAILED"),
  };
  return [
    ...optionCases(plugin, fixture.options),
    ...(missing === undefined ? [] : [missingCase]),
    ...answerCases(fixture, open),
    ...faultCases(fixture, open),
    ...abortCases(fixture, open),
    ...capabilityCases(fixture, open),
    ...disposalCases(open),
  ];
}

function answerCases(fixture: AdapterFixture, open: Opened<CapLLM>): ContractCase[] {
  const test = caseWith(open);
  const cases = [
    test("streams text parts and one finish, which is last", async (llm) => {
      const call = testCall();
      const parts = await collect(llm.streamTokens(fixture.request(), call));
      assertWellFormed(parts, 1);
      assert.ok(parts.filter(({ type }) => type === "text").length > 1, "fewer than two text parts");
      assertNoListeners(call);
    }),
    test("keeps concurrent streams apart", async (llm) => {
      const aborted = abortableCall();
      const streams = Array.from({ length: 4 }, () => textOfStream(llm, fixture.request()));
      const lost = collect(llm.streamTokens(fixture.request(), aborted.call));
      aborted.abort();
      await rejectsWithReason(lost, aborted);
      assert.equal(new Set(await Promise.all(streams)).size, 1, "the same request had different answers");
    }),
  ];
  const { choices } = fixture;
  if (choices === undefined) return cases;
  const several = test("gives each choice its own finish", async (llm) => {
    const parts = await collect(llm.streamTokens({ ...fixture.request(), n: choices }, testCall()));
    assertWellFormed(parts, choices);
  });
  return [...cases, several];
}

function faultCases(fixture: AdapterFixture, open: Opened<CapLLM>): ContractCase[] {
  const { badRequest } = fixture;
  if (badRequest === undefined) return [];
  const refuses = caseWith(open)(
    "answers a faulty request with INVALID_ARGUMENT, and goes on",
    async (llm) => {
      await rejectsWithCode(collect(llm.streamTokens(badRequest(), testCall())), "INVALID_ARGUMENT");
      await textOfStream(llm, fixture.request());
    },
  );
  return [refuses];
}

function abortCases(fixture: AdapterFixture, open: Opened<CapLLM>): ContractCase[] {
  const test = caseWith(open);
  return [
    {
      name: "does not load when aborted",
      async run() {
        const aborted = abortedCall();
        await rejectsWithReason(open(aborted.call), aborted);
      },
    },
    test("does not start when aborted", async (llm) => {
      const aborted = abortedCall();
      await rejectsWithReason(collect(llm.streamTokens(fixture.request(), aborted.call)), aborted);
      await fixture.idle?.();
    }),
    test("throws the reason when aborted within a stream", async (llm) => {
      const aborted = abortableCall();
      const read = async (): Promise<void> => {
        for await (const part of llm.streamTokens(fixture.request(), aborted.call)) {
          if (part.type === "text") aborted.abort();
        }
      };
      await rejectsWithReason(read(), aborted);
      await fixture.idle?.();
    }),
    test("throws the reason when aborted while the next part is awaited", async (llm) => {
      const aborted = abortableCall();
      const parts = llm.streamTokens(fixture.request(), aborted.call)[Symbol.asyncIterator]();
      await parts.next();
      const next = readOn(parts);
      aborted.abort();
      await rejectsWithReason(next, aborted);
      await fixture.idle?.();
    }),
    test("stops when the stream is left early", async (llm) => {
      const call = testCall();
      for await (const part of llm.streamTokens(fixture.request(), call)) if (part.type === "text") break;
      assertNoListeners(call);
      await fixture.idle?.();
    }),
  ];
}

/** The optional members: checked where the adapter has them. */
function capabilityCases(fixture: AdapterFixture, open: Opened<CapLLM>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("predicts what it streams", async (llm) => {
      const streamed = await textOfStream(llm, fixture.request());
      const predicted = await llm.predictText?.(fixture.request(), testCall());
      if (predicted !== undefined) assertCompletion(predicted, streamed);
    }),
    test("embeds each text as a vector of one length", async (llm) => {
      const texts = ["one", "two", "one"];
      const answer = await llm.embed?.(texts, testCall());
      if (answer === undefined) return;
      const { vectors, inputTokens } = withTokens(answer, texts);
      assert.equal(vectors.length, texts.length);
      assert.equal(new Set(vectors.map(({ length }) => length)).size, 1, "vectors of different lengths");
      assert.deepEqual(vectors[0], vectors[2], "the same text had different vectors");
      assert.equal(inputTokens.length, texts.length, "the tokens of each text are counted");
      assert.ok(
        inputTokens.every((count) => count > 0 && Number.isInteger(count)),
        "a text without tokens",
      );
    }),
  ];
}

async function readOn(parts: AsyncIterator<Part>): Promise<void> {
  for (let done = false; !done; ) done = (await parts.next()).done === true;
}

async function textOfStream(llm: CapLLM, request: ChatRequest): Promise<string> {
  const parts = await collect(llm.streamTokens(request, testCall()));
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function assertCompletion({ choices, usage }: Completion, text: string): void {
  assert.equal(choices.length, 1);
  assert.equal(choices[0]!.text, text);
  assert.ok(usage.outputTokens > 0, "no output tokens were counted");
}

/** Each choice has its parts, then exactly one finish; usage is counted in whole tokens. */
function assertWellFormed(parts: readonly Part[], choices: number): void {
  for (let choice = 0; choice < choices; choice++) {
    const own = parts.filter((part) => part.choice === choice);
    assert.equal(own.filter(({ type }) => type === "finish").length, 1, `choice ${choice}: not one finish`);
    const last = own[own.length - 1]!;
    assert.ok(last.type === "finish", `choice ${choice}: a part follows its finish`);
    for (const count of Object.values(last.usage)) assert.ok(Number.isInteger(count) && count >= 0, "usage");
  }
  const strange = parts.find(({ choice }) => choice < 0 || choice >= choices);
  assert.equal(strange, undefined, "a part of a choice nobody asked for");
}
