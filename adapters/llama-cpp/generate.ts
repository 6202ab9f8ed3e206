import type { LlamaContextSequence, LlamaModel, SequenceEvaluateOptions, Token } from "node-llama-cpp";
import {
  type Call,
  type FinishReason,
  invalid,
  type Part,
  type Sampling,
} from "../../src/contracts/index.ts";
import { Logprobs, type Wanted } from "./logprobs.ts";
import { evaluateOptions } from "./sampling.ts";
import { commonPrefix, type Sequences } from "./sequences.ts";
import { StopText, TokenText } from "./text.ts";

export interface Answer {
  readonly choice: number;
  readonly prompt: readonly Token[];
  readonly sampling: Sampling;
  readonly grammar: SequenceEvaluateOptions["grammarEvaluationState"];
  readonly logprobs?: Wanted | undefined;
}

/**
 * Writes one choice token by token. Each step is decoded together with those of the other sequences. The end
 * token counts as written. Leaving early, or aborting, leaves at most the step that is under way.
 * @throws CapstanError INVALID_ARGUMENT when the prompt does not fit into the context.
 */
export async function* generate(
  model: LlamaModel,
  sequences: Sequences,
  answer: Answer,
  call: Call,
): AsyncGenerator<Part> {
  const { choice, prompt } = answer;
  const limit = outputLimit(answer, sequences.contextSize);
  if (limit === 0) return yield finish(answer, "length", 0, 0);
  await using work = await Work.begin(sequences, prompt, call);
  const written: Token[] = [];
  const text = new TokenText(model);
  const stop = new StopText(answer.sampling.stop);
  const scores = answer.logprobs && new Logprobs(answer.logprobs, model);
  let reason: FinishReason = "length";
  const options = {
    ...evaluateOptions(answer.sampling, choice, written),
    grammarEvaluationState: answer.grammar,
  };
  for await (const { token, probabilities } of work.tokens(options, scores !== undefined)) {
    written.push(token);
    const ended = model.isEogToken(token);
    const fresh = ended ? "" : text.push(token);
    if (!ended && probabilities) scores?.add(token, fresh, probabilities);
    const piece = ended ? "" : stop.push(fresh);
    if (piece !== "") yield { type: "text", choice, text: piece, ...scores?.shown(piece) };
    if (ended || stop.stopped) reason = "stop";
    if (ended || stop.stopped || written.length === limit) break;
  }
  const rest = stop.end();
  const { logprobs } = (stop.stopped ? undefined : scores?.rest()) ?? {};
  if (rest !== "" || logprobs) yield { type: "text", choice, text: rest, ...(logprobs && { logprobs }) };
  yield finish(answer, reason, work.cachedTokens, written.length);
}

function finish(
  { choice, prompt }: Answer,
  reason: FinishReason,
  cachedTokens: number,
  outputTokens: number,
): Part {
  const usage = { inputTokens: prompt.length, cachedTokens, outputTokens };
  return { type: "finish", choice, reason, usage };
}

/** The library keeps one place free; the last token that is written needs none. */
function outputLimit({ prompt, sampling }: Answer, contextSize: number): number {
  const room = contextSize - prompt.length;
  if (room > 0) return Math.min(sampling.maxTokens ?? room, room);
  const most = `at most ${contextSize - 1} fit into this model's context (context_size)`;
  throw invalid(`The prompt has ${prompt.length} tokens; ${most}`, { param: "messages" });
}

interface Step {
  readonly token: Token;
  /** Of the likeliest tokens, and of this one; absent unless asked for. */
  readonly probabilities?: ReadonlyMap<Token, number>;
}

/** One sequence at work on one prompt. Disposed, it goes back as soon as its native work has ended. */
class Work implements AsyncDisposable {
  /** Of the prompt: how many the sequence knew. */
  cachedTokens = 0;
  readonly #sequences: Sequences;
  readonly #sequence: LlamaContextSequence;
  readonly #prompt: readonly Token[];
  readonly #call: Call;
  #pending: Promise<unknown> = Promise.resolve();

  private constructor(
    sequences: Sequences,
    sequence: LlamaContextSequence,
    prompt: readonly Token[],
    call: Call,
  ) {
    this.#sequences = sequences;
    this.#sequence = sequence;
    this.#prompt = prompt;
    this.#call = call;
  }

  static async begin(sequences: Sequences, prompt: readonly Token[], call: Call): Promise<Work> {
    return new Work(sequences, await sequences.acquire(prompt, call.signal), prompt, call);
  }

  /** Reads what the sequence does not know of the prompt, and writes on for as long as it is asked. */
  async *tokens(options: SequenceEvaluateOptions, probabilities: boolean): AsyncGenerator<Step> {
    const last = await this.#readPrompt();
    const tokens = this.#sequence.evaluateWithMetadata(last, { probabilities }, options);
    try {
      while (true) {
        const next = await this.#run(() => tokens.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      this.#pending = this.#pending.then(() => tokens.return());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const release = (): void => this.#sequences.release(this.#sequence);
    void this.#pending.then(release, release);
  }

  /**
   * Steps of a batch each, so that an abort is heard between them; returns the last, whose logits are wanted.
   * A prompt that is known as a whole is read from its last token.
   */
  async #readPrompt(): Promise<Token[]> {
    const known = commonPrefix(this.#sequence.contextTokens, this.#prompt.slice(0, -1));
    await this.#run(() => this.#sequence.adaptStateToTokens(this.#prompt.slice(0, known), false));
    this.cachedTokens = known;
    const { length } = this.#prompt;
    const counts = { prompt_tokens: length, cached_tokens: known, evaluated_tokens: length - known };
    this.#call.log.debug(counts, "reading the prompt");
    const step = this.#sequences.batchSize;
    let position = known;
    for (; length - position > step; position += step) {
      const tokens = this.#prompt.slice(position, position + step);
      await this.#run(() => this.#sequence.evaluateWithoutGeneratingNewTokens(tokens));
    }
    return this.#prompt.slice(position);
  }

  async #run<T>(start: () => Promise<T>): Promise<T> {
    this.#call.signal.throwIfAborted();
    const work = start();
    this.#pending = work.catch(() => {});
    return this.#sequences.run(work, this.#call.signal);
  }
}
