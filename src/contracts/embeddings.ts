/** The vectors of several texts, and how many tokens the model read for each of them. */
export interface Embeddings {
  readonly vectors: Float32Array[];
  readonly inputTokens: readonly number[];
}

/** The vectors of either form that `embed` may answer in. */
export function vectorsOf(answer: Float32Array[] | Embeddings): Float32Array[] {
  return Array.isArray(answer) ? answer : answer.vectors;
}

/** As {@link Embeddings}; tokens that were not told are taken to be four bytes each, the rule of thumb for English. */
export function withTokens(answer: Float32Array[] | Embeddings, texts: readonly string[]): Embeddings {
  if (!Array.isArray(answer)) return answer;
  return { vectors: answer, inputTokens: texts.map((text) => Math.ceil(Buffer.byteLength(text) / 4)) };
}
