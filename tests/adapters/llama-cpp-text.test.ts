import type { LlamaModel, Token } from "node-llama-cpp";
import { describe, expect, it } from "vitest";
import { merge } from "../../adapters/llama-cpp/merge.ts";
import { StopText, TokenText } from "../../adapters/llama-cpp/text.ts";

/** A vocabulary in which a token is a byte. */
const detokenize: LlamaModel["detokenize"] = (tokens) => new TextDecoder().decode(Uint8Array.from(tokens));

function pieces(bytes: Iterable<number>): string[] {
  const text = new TokenText({ detokenize });
  return Array.from(bytes, (byte) => text.push(byte as Token));
}

describe("text of tokens", () => {
  it("comes character by character", () => {
    expect(pieces(Buffer.from("aä😀"))).toEqual(["a", "", "ä", "", "", "", "😀"]);
  });

  it("keeps back a character that is never completed", () => {
    expect(pieces([0x61, 0xf0, 0x9f, 0x98])).toEqual(["a", "", "", ""]);
  });

  it("shows bytes that are not UTF-8 as such, one step late, and goes on", () => {
    expect(pieces([0x80, 0x81, 0x61]).join("")).toBe("\uFFFD\uFFFDa");
    const endless = pieces([...Array.from({ length: 40 }, () => 0x80), 0x61]).join("");
    expect(endless).toBe(`${"\uFFFD".repeat(40)}a`);
  });
});

describe("stop sequences", () => {
  function read(stop: readonly string[], ...given: readonly string[]) {
    const text = new StopText(stop);
    const through = given.map((piece) => text.push(piece));
    return { through, stopped: text.stopped, rest: text.end() };
  }

  it.each([
    ["none", [], ["ab", "c"], { through: ["ab", "c"], stopped: false, rest: "" }],
    ["an empty one", [""], ["ab"], { through: ["ab"], stopped: false, rest: "" }],
    ["one in a piece", ["b"], ["abc"], { through: ["a"], stopped: true, rest: "" }],
    ["one across pieces", ["END"], ["a E", "N", "D b"], { through: ["a ", "", ""], stopped: true, rest: "" }],
    ["the first of two", ["dd", "c"], ["abcdd"], { through: ["ab"], stopped: true, rest: "" }],
    ["a false start", ["END"], ["EN", "X"], { through: ["", "ENX"], stopped: false, rest: "" }],
    ["a start at the end", ["END"], ["a EN"], { through: ["a "], stopped: false, rest: "EN" }],
    ["a start in a start", ["aab"], ["aa", "ab"], { through: ["", "a"], stopped: true, rest: "" }],
  ])("with %s", (_what, stop, given, wanted) => {
    expect(read(stop, ...given)).toEqual(wanted);
  });
});

describe("merged streams", () => {
  async function* numbers(from: number, to: number, ended: number[] = []): AsyncGenerator<number> {
    try {
      for (let i = from; i < to; i++) yield i;
    } finally {
      ended.push(from);
    }
  }

  it("give everything of each, in its own order", async () => {
    const all = await Array.fromAsync(merge([numbers(0, 3), numbers(10, 12), numbers(20, 20)]));
    expect(all.filter((value) => value < 10)).toEqual([0, 1, 2]);
    expect(all.filter((value) => value >= 10)).toEqual([10, 11]);
  });

  it("end together when one fails or the reader leaves", async () => {
    const ended: number[] = [];
    const failing = async function* (): AsyncGenerator<number> {
      yield 5;
      throw new Error("bad");
    };
    await expect(Array.fromAsync(merge([numbers(0, 1e9, ended), failing()]))).rejects.toThrow("bad");
    for await (const value of merge([numbers(1, 1e9, ended)])) if (value > 3) break;
    await new Promise(setImmediate);
    expect(ended).toEqual([0, 1]);
  });
});
