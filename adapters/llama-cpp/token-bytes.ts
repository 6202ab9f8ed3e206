import type { LlamaModel, Token } from "node-llama-cpp";

/** What a decoder puts for bytes that are no character by themselves. */
const INCOMPLETE = "\uFFFD";
/** A byte as the vocabularies of SentencePiece have it. */
const BYTE = /^<0x([0-9A-F]{2})>$/;

/** The bytes of single tokens: several together may be one character. */
export class TokenBytes {
  readonly #vocabulary: readonly string[];
  readonly #isByteLevel: boolean;

  constructor({ fileInfo }: Pick<LlamaModel, "fileInfo">) {
    const { model, tokens = [] } = fileInfo.metadata.tokenizer?.ggml ?? {};
    this.#vocabulary = tokens;
    this.#isByteLevel = model === "gpt2";
  }

  /**
   * @param text of the token by itself.
   * @returns null where they are not known.
   */
  of(token: Token, text: string): readonly number[] | null {
    if (!text.includes(INCOMPLETE)) return [...Buffer.from(text)];
    const piece = this.#vocabulary[token];
    if (piece === undefined) return null;
    if (this.#isByteLevel) return bytesOfLetters(piece);
    const byte = BYTE.exec(piece)?.[1];
    return byte === undefined ? null : [Number.parseInt(byte, 16)];
  }
}

/** GPT-2's vocabulary has a letter for each byte: that of Latin-1 where it can be seen, else one from U+0100 on. */
const LETTERS: ReadonlyMap<string, number> = new Map(lettersOfBytes());

function* lettersOfBytes(): Generator<[string, number]> {
  let unseen = 0;
  for (let byte = 0; byte < 256; byte++) {
    const isSeen = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    yield [String.fromCodePoint(isSeen ? byte : 256 + unseen++), byte];
  }
}

function bytesOfLetters(piece: string): readonly number[] | null {
  const bytes = Array.from(piece, (letter) => LETTERS.get(letter));
  return bytes.every((byte) => byte !== undefined) ? bytes : null;
}
