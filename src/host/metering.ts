import type { CallRecord, CapLLM, Completion, Part, Usage } from "../contracts/index.ts";

/**
 * A language model whose answers are noted in the call's record: tokens, when the first text came, and how the first
 * choice ended. The answers to several prompts of one request add up.
 */
export function metered(llm: CapLLM): CapLLM {
  const predictText = llm.predictText?.bind(llm);
  return {
    ...llm,
    streamTokens(request, call) {
      const parts = llm.streamTokens(request, call);
      return call.record === undefined ? parts : noted(parts, new Meter(call.record));
    },
    ...(predictText && {
      async predictText(request, call) {
        const completion = await predictText(request, call);
        if (call.record !== undefined) noteCompletion(completion, call.record);
        return completion;
      },
    }),
  };
}

async function* noted(parts: AsyncIterable<Part>, meter: Meter): AsyncGenerator<Part> {
  for await (const part of parts) {
    meter.see(part);
    yield part;
  }
}

/** Until a choice says what it used, each piece of it counts as one token: its reader may leave at any time. */
class Meter {
  readonly #record: CallRecord;
  readonly #pieces = new Map<number, number>();
  #inputNoted = false;

  constructor(record: CallRecord) {
    this.#record = record;
  }

  see(part: Part): void {
    if (part.type === "finish") this.#finish(part.choice, part.usage);
    if (part.type === "finish" && part.choice === 0) this.#record.finish = part.reason;
    if (part.type !== "text" && part.type !== "reasoning") return;
    this.#record.firstTokenAt ??= performance.now();
    this.#pieces.set(part.choice, (this.#pieces.get(part.choice) ?? 0) + 1);
    addOutput(this.#record, 1);
  }

  #finish(choice: number, { inputTokens, outputTokens }: Usage): void {
    addOutput(this.#record, outputTokens - (this.#pieces.get(choice) ?? 0));
    if (this.#inputNoted) return;
    this.#inputNoted = true;
    addInput(this.#record, inputTokens);
  }
}

function noteCompletion({ usage, choices }: Completion, record: CallRecord): void {
  addInput(record, usage.inputTokens);
  addOutput(record, usage.outputTokens);
  record.firstTokenAt ??= performance.now();
  record.finish = choices[0]?.reason;
}

function addInput(record: CallRecord, tokens: number): void {
  record.inputTokens = (record.inputTokens ?? 0) + tokens;
}

function addOutput(record: CallRecord, tokens: number): void {
  record.outputTokens = (record.outputTokens ?? 0) + tokens;
}
