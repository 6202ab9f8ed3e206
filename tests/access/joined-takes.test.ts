import { describe, expect, it } from "vitest";
import { JoinedTakes } from "../../src/access/limits/joined-takes.ts";
import type { Share } from "../../src/access/limits/share.ts";

/** So many requests in a month, and what was asked of them. */
function month(left: number) {
  const statements: Share[] = [];
  const take = async (share: Share) => {
    statements.push(share);
    if (share.requests > left) return false;
    left -= share.requests;
    return true;
  };
  return { statements, take };
}

const one = { requests: 1, tokens: 10 };

describe("shares that are wanted in one turn", () => {
  it("are taken by one statement for each month", async () => {
    const { statements, take } = month(100);
    const joined = new JoinedTakes();
    const wanted = ["a", "a", "b", "a"].map((id) => joined.take(id, one, take));
    expect(await Promise.all(wanted)).toEqual([true, true, true, true]);
    expect(statements).toEqual([{ requests: 3, tokens: 30 }, one]);
  });

  it("are taken one by one, in order, where all are too many", async () => {
    const { statements, take } = month(20);
    const joined = new JoinedTakes();
    const taken = await Promise.all(Array.from({ length: 50 }, () => joined.take("a", one, take)));
    expect(taken).toEqual([...Array(20).fill(true), ...Array(30).fill(false)]);
    expect(statements).toHaveLength(51);
  });

  it("fail together with their statement, and are not joined by those that come later", async () => {
    const joined = new JoinedTakes();
    const failing = async () => {
      throw new Error("the database is away");
    };
    const [first, second] = [joined.take("a", one, failing), joined.take("a", one, failing)];
    await expect(first).rejects.toThrow("the database is away");
    await expect(second).rejects.toThrow("the database is away");
    expect(await joined.take("a", one, month(1).take)).toBe(true);
  });
});
