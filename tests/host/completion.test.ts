import { describe, expect, it } from "vitest";
import type { Part } from "../../src/contracts/index.ts";
import { foldParts } from "../../src/contracts/index.ts";

const text = (text: string, choice = 0, logprobs?: unknown): Part => ({
  type: "text",
  choice,
  text,
  logprobs,
});
const finish = (choice: number, outputTokens: number): Part => ({
  ...{ type: "finish", choice, reason: "stop" },
  usage: { inputTokens: 4, outputTokens },
});

async function* of(...parts: Part[]): AsyncGenerator<Part> {
  yield* parts;
}

describe("folding the parts of an answer", () => {
  it("gives the choices in order, and counts their input once", async () => {
    const call = { id: "c", name: "f", arguments: "{}" };
    const folded = await foldParts(
      of(
        { type: "tool-call", choice: 1, call },
        text("a"),
        { type: "reasoning", choice: 1, text: "hm" },
        { type: "step", choice: 0, name: "search" },
        text("b"),
        finish(1, 1),
        finish(0, 2),
      ),
    );
    expect(folded).toEqual({
      choices: [
        { text: "ab", toolCalls: [], reason: "stop" },
        { text: "", reasoning: "hm", toolCalls: [call], reason: "stop" },
      ],
      usage: { inputTokens: 4, outputTokens: 3 },
    });
  });

  it("joins log probabilities without touching those of the parts", async () => {
    const first = { content: [1], refusal: null };
    const parts = [
      text("a", 0, first),
      text("b"),
      text("c", 0, { content: [2], refusal: null }),
      finish(0, 3),
    ];
    for (let round = 0; round < 2; round++) {
      const { choices } = await foldParts(of(...parts));
      expect(choices[0]!.logprobs).toEqual({ content: [1, 2], refusal: null });
    }
    expect(first.content).toEqual([1]);
  });

  it("fails when a choice has no end, or there is none", async () => {
    const unfinished = { code: "INTERNAL", message: expect.stringMatching(/choice 1/) };
    await expect(foldParts(of(text("a"), text("b", 1), finish(0, 1)))).rejects.toMatchObject(unfinished);
    await expect(foldParts(of())).rejects.toMatchObject({ code: "INTERNAL" });
  });
});
