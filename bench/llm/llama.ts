import path from "node:path";
import { getLlama, LlamaLogLevel, type LlamaModel, type Token } from "node-llama-cpp";
import llamaCpp from "../../adapters/llama-cpp/index.ts";
import type { Call, CapLLM, Message, ModelSpec } from "../../src/contracts/index.ts";
import { foldParts } from "../../src/contracts/index.ts";
import { testCall, testHost } from "../../src/testing/index.ts";
import { ROOT } from "../capstan.ts";
import { type Figure, figure } from "../figure.ts";
import { summarise } from "../report.ts";

const FOLDER = path.join(ROOT, "model-settings/tiny-chat");
const ARTIFACT = path.join(FOLDER, "tiny-chat.gguf");
const SPEC: ModelSpec = { name: "tiny-chat", version: "1", folder: FOLDER, artifact: ARTIFACT };
/** The longest answer that the sample model gives. */
const QUESTION = "Tell me a long story.";
const ANSWERS = 8;
const TOGETHER = 8;
const TURNS = 10;

/** llama.cpp in this process through the adapter, against the library alone. */
export async function measureLlama(rounds: number): Promise<Figure[]> {
  await using llm = await open();
  const bare = await BareModel.open();
  const ask = () => answered(llm, [{ role: "user", content: QUESTION }]);
  const [ratios, gains]: [number[], number[]] = [[], []];
  const rates = { bare: [] as number[], one: [] as number[], together: [] as number[] };
  for (let round = 0; round <= rounds; round++) {
    const alone = await rate(() => inTurn(ANSWERS, () => bare.answer(QUESTION)));
    const one = await rate(() => inTurn(ANSWERS, ask));
    const together = await rate(() => atOnce(TOGETHER, () => inTurn(ANSWERS / 2, ask)));
    // The first round warms up.
    if (round === 0) continue;
    ratios.push(one / alone);
    gains.push(together / one);
    rates.bare.push(alone);
    rates.one.push(one);
    rates.together.push(together);
  }
  const figures = [
    figure("llama-cpp, library alone", Math.max(...rates.bare), "tokens/s", undefined, 0),
    figure("llama-cpp, one stream", Math.max(...rates.one), "tokens/s", undefined, 0),
    figure("llama-cpp, one stream, x library", summarise(ratios).median, "", [">=", 0.95]),
    figure(`llama-cpp, ${TOGETHER} streams`, Math.max(...rates.together), "tokens/s", undefined, 0),
    figure(`llama-cpp, ${TOGETHER} streams, x one`, summarise(gains).median, "", [">=", 2]),
  ];
  await bare.model.dispose();
  return [...figures, ...(await measureTurns())];
}

async function open(call: Call = testCall()): Promise<CapLLM> {
  const parsed = llamaCpp.options.safeParse({ device: "cpu", sequences: TOGETHER, context_size: 512 });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return llamaCpp.load(SPEC, parsed.data, testHost(), call);
}

async function answered(llm: CapLLM, messages: Message[], call: Call = testCall()): Promise<number> {
  const { usage } = await foldParts(llm.streamTokens({ messages, sampling: { temperature: 0 } }, call));
  return usage.outputTokens;
}

async function inTurn(times: number, answer: () => Promise<number>): Promise<number> {
  let tokens = 0;
  for (let time = 0; time < times; time++) tokens += await answer();
  return tokens;
}

async function atOnce(times: number, answers: () => Promise<number>): Promise<number> {
  const tokens = await Promise.all(Array.from({ length: times }, answers));
  return tokens.reduce((sum, count) => sum + count, 0);
}

/** Tokens a second. */
async function rate(work: () => Promise<number>): Promise<number> {
  const start = performance.now();
  const tokens = await work();
  return (tokens * 1000) / (performance.now() - start);
}

/** What a program would do that has the library and nothing else: it reads the whole prompt for every answer. */
class BareModel {
  readonly model: LlamaModel;
  readonly #sequence: Awaited<ReturnType<typeof sequenceOf>>;

  private constructor(model: LlamaModel, sequence: Awaited<ReturnType<typeof sequenceOf>>) {
    this.model = model;
    this.#sequence = sequence;
  }

  static async open(): Promise<BareModel> {
    const settings = { gpu: false, build: "never", skipDownload: true, progressLogs: false } as const;
    const llama = await getLlama({ ...settings, maxThreads: 0, logLevel: LlamaLogLevel.error });
    const model = await llama.loadModel({ modelPath: ARTIFACT });
    return new BareModel(model, await sequenceOf(model));
  }

  async answer(question: string): Promise<number> {
    await this.#sequence.clearHistory();
    let written = 0;
    let text = "";
    for await (const token of this.#sequence.evaluate(this.#prompt(question), { temperature: 0 })) {
      written += 1;
      if (this.model.isEogToken(token)) break;
      text += this.model.detokenize([token]);
    }
    if (text === "") throw new Error("The library alone answered nothing");
    return written;
  }

  #prompt(question: string): Token[] {
    return this.model.tokenize(`<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`, true);
  }
}

async function sequenceOf(model: LlamaModel) {
  const context = await model.createContext({ sequences: 1, contextSize: 512, batchSize: 512, threads: 1 });
  return context.getSequence();
}

interface Reading {
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly evaluated_tokens: number;
}

/** A conversation: what its last turn reads of a prompt that it mostly knows. */
async function measureTurns(): Promise<Figure[]> {
  await using llm = await open();
  const readings: Reading[] = [];
  const log = { ...testCall().log, debug: (fields: object) => void readings.push(fields as Reading) };
  const messages: Message[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    messages.push({ role: "user", content: `What is ${turn} + 1?` });
    const answer = llm.streamTokens(
      { messages, sampling: { temperature: 0, maxTokens: 12 } },
      testCall({ log }),
    );
    const { choices } = await foldParts(answer);
    messages.push({ role: "assistant", content: choices[0]!.text });
  }
  const [ninth, tenth] = readings.slice(-2) as [Reading, Reading];
  const fresh = tenth.prompt_tokens - ninth.prompt_tokens;
  return [
    figure(`llama-cpp, turn ${TURNS}, tokens of its prompt`, tenth.prompt_tokens, "", undefined, 0),
    figure(`llama-cpp, turn ${TURNS}, tokens read`, tenth.evaluated_tokens, "", ["<=", fresh], 0),
  ];
}
