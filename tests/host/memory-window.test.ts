import { describe, expect, it } from "vitest";
import type { Turn } from "../../src/contracts/index.ts";
import { mostTurns, recentTurns, type Window } from "../../src/host/memory/window.ts";
import { testCall } from "../../src/testing/index.ts";

/** Turns that take as many tokens as their number says. */
const ofTokens = (...sizes: number[]): Turn[] =>
  sizes.map((size, at) => ({
    id: `${at}`,
    at,
    messages: [{ role: "user", content: "x".repeat(size) }],
  }));

/** What is put before a message, and how much was read for it. */
async function windowOn(all: readonly Turn[], window: Window) {
  const asked: (number | undefined)[] = [];
  const read = async (last: number | undefined) => {
    asked.push(last);
    return last === undefined ? all : all.slice(Math.max(0, all.length - last));
  };
  const count = async (text: string) => text.length - "user: ".length;
  const turns = await recentTurns(read, window, false, count, testCall());
  return { ids: turns.map(({ id }) => id), asked };
}

describe("a window", () => {
  it.each([
    [{}, undefined],
    [{ turns: 2 }, 2],
    [{ tokens: 3 }, 3],
    [{ turns: 5, tokens: 3 }, 3],
  ])("%j reads no more turns than there is room for", async (window, most) => {
    expect(mostTurns(window)).toBe(most);
    const { asked, ids } = await windowOn(ofTokens(1, 1, 1, 1, 1, 1), window);
    expect(asked).toEqual([most]);
    expect(ids).toHaveLength(most ?? 6);
  });

  it("ends before the turn that does not fit", async () => {
    expect((await windowOn(ofTokens(1, 9, 2, 2), { tokens: 6 })).ids).toEqual(["2", "3"]);
  });
});
