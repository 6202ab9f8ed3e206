import type { Embeddings } from "../../src/contracts/index.ts";
import type { Faults } from "./failures.ts";
import { type JsonRecord, recordsOf } from "./json.ts";
import { shares, usageIn } from "./usage.ts";

/**
 * The vectors of a reply of the embeddings API, in the order of the texts, with the tokens that it counted:
 * it counts all texts together, so each gets its share.
 * @throws UpstreamFault unless there is one vector of numbers for each text.
 */
export function embeddingsIn(
  reply: JsonRecord,
  texts: readonly string[],
  faults: Faults,
): Float32Array[] | Embeddings {
  const vectors = vectorsIn(reply, texts.length, faults);
  const { input } = usageIn(reply);
  return input === undefined
    ? vectors
    : {
        vectors,
        inputTokens: shares(
          input,
          texts.map((text) => Buffer.byteLength(text)),
        ),
      };
}

function vectorsIn(reply: JsonRecord, count: number, faults: Faults): Float32Array[] {
  const vectors: (Float32Array | undefined)[] = Array.from({ length: count });
  const items = recordsOf(reply.data);
  for (const [position, { index = position, embedding }] of items.entries()) {
    if (Number.isInteger(index)) vectors[index as number] = vectorOf(embedding);
  }
  const complete = vectors.filter((vector) => vector !== undefined);
  if (complete.length === count && vectors.length === count) return complete;
  throw faults.bad(`${complete.length} embeddings for ${count} texts`);
}

function vectorOf(embedding: unknown): Float32Array | undefined {
  if (!Array.isArray(embedding) || embedding.length === 0) return undefined;
  const vector = Float32Array.from(embedding as number[]);
  return vector.every(Number.isFinite) ? vector : undefined;
}
