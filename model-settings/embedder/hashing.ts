import { type Call, type CapLLM, CapstanError, defineAdapter, type Part } from "capstan";
import { z } from "zod";

const options = z.strictObject({
  /** Numbers of a vector. */
  dimension: z.int().min(16).max(4096).default(256),
});

/**
 * Vectors without a model: words and their pieces, hashed into places of the vector. Texts that share rare words are
 * near each other; it knows no synonyms. The same text has the same vector on every machine.
 */
export default defineAdapter<z.output<typeof options>>({
  name: "hashing",
  options,
  async load(model, { dimension }, _host, call): Promise<CapLLM> {
    call.signal.throwIfAborted();
    return {
      // biome-ignore lint/correctness/useYield: it has nothing to yield
      async *streamTokens(): AsyncGenerator<Part> {
        throw new CapstanError("UNSUPPORTED", `Model '${model.name}' gives embeddings and writes no text`);
      },
      async embed(texts, { signal }: Call) {
        signal.throwIfAborted();
        const vectors = texts.map((text) => embedding(text, dimension));
        return { vectors, inputTokens: texts.map((text) => allWords(text).length) };
      },
      async [Symbol.asyncDispose]() {},
    };
  },
});

/** Weights of what a word is looked at as: itself, and every three characters of it for related forms. */
const WORD = 1;
const PIECE = 0.35;

/** Sublinear term frequencies, signed feature hashing (Weinberger et al., 2009), scaled to length 1. */
export function embedding(text: string, dimension: number): Float32Array {
  const vector = new Float32Array(dimension);
  for (const [feature, { count, weight }] of featuresOf(text)) {
    const hash = fnv1a(feature);
    const sign = hash & 1 ? 1 : -1;
    vector[(hash >>> 1) % dimension]! += sign * weight * (1 + Math.log(count));
  }
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

interface Feature {
  count: number;
  readonly weight: number;
}

function featuresOf(text: string): Map<string, Feature> {
  const features = new Map<string, Feature>();
  const add = (name: string, weight: number) => {
    const known = features.get(name);
    if (known === undefined) features.set(name, { count: 1, weight });
    else known.count += 1;
  };
  for (const word of wordsOf(text)) {
    add(`word ${stem(word)}`, WORD);
    const marked = `<${word}>`;
    for (let end = 3; end <= marked.length; end++) add(`piece ${marked.slice(end - 3, end)}`, PIECE);
  }
  return features;
}

/** Words that say nothing of what an English text is about. */
const COMMON = new Set(
  (
    "a an and any are as at be been but by can do does for from had has have he how i if in into is it its just me " +
    "my no not of on one or our she should so some such than that the their them then there these they this to up " +
    "us was we were what when where which who why will with would you your"
  ).split(" "),
);

const allWords = (text: string): string[] =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .match(/[\p{L}\p{N}]+/gu) ?? [];

function wordsOf(text: string): string[] {
  const words = allWords(text);
  const telling = words.filter((word) => !COMMON.has(word));
  return telling.length === 0 ? words : telling;
}

/** Endings of English that make forms of one word. */
function stem(word: string): string {
  const cut = word.replace(/(ations?|ings?|ed|ers?|es|s|e)$/, "");
  return cut.length >= 3 ? cut : word;
}

/** FNV-1a of 32 bits over UTF-8, with the finish of MurmurHash3 so that the low bits are spread as well. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, "utf8")) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
