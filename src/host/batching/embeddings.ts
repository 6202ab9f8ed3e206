import { type Call, type CapLLM, type Embeddings, withTokens } from "../../contracts/index.ts";
import type { LanguageModelLayer } from "../plugin-host.ts";
import { Batcher } from "./batcher.ts";

type Texts = readonly string[];

/** Joins the texts of requests for embeddings that come while the model is busy (`max_batch_size` texts at most). */
export const batchedEmbeddings: LanguageModelLayer = (llm, { maxBatchSize }) => {
  const embed = llm.embed?.bind(llm);
  if (embed === undefined || maxBatchSize < 2) return llm;
  const batcher = new Batcher<Texts, Embeddings>(workOf(embed), {
    maxRows: maxBatchSize,
    maxWaitMs: 0,
    concurrency: 1,
  });
  return { ...llm, embed: (texts, call) => batcher.run(texts, call) };
};

function workOf(embed: NonNullable<CapLLM["embed"]>) {
  return {
    rows: ({ length }: Texts) => (length === 0 ? undefined : length),
    key: () => "",
    run: async (texts: Texts, call: Call) => withTokens(await embed(texts, call), texts),
    join: (requests: readonly Texts[]) => requests.flat(),
    divide,
  };
}

function divide({ vectors, inputTokens }: Embeddings, requests: readonly Texts[]): Embeddings[] | undefined {
  let from = 0;
  const parts = requests.map(({ length }) => {
    from += length;
    const [first, end] = [from - length, from];
    return { vectors: vectors.slice(first, end), inputTokens: inputTokens.slice(first, end) };
  });
  return from === vectors.length ? parts : undefined;
}
