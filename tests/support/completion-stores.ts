import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Part } from "../../src/contracts/index.ts";
import type { CompletionStore } from "../../src/records/completions/stores.ts";

const usage = { inputTokens: 1, outputTokens: 2 };
const PARTS: Part[] = [
  { type: "reasoning", choice: 0, text: "Hm\n" },
  { type: "step", choice: 0, name: "search", detail: { of: [1] } },
  { type: "text", choice: 0, text: 'x "é" \u0000', logprobs: { content: [] } },
  { type: "finish", choice: 0, reason: "stop", usage },
];

/** What every store of kept answers does. @param open what it opens is closed at the end. */
export function completionStoreSuite(
  name: string,
  open: (opened: AsyncDisposableStack) => Promise<CompletionStore>,
): void {
  describe(`the store of kept answers in ${name}`, () => {
    const opened = new AsyncDisposableStack();
    let store: CompletionStore;
    beforeAll(async () => {
      store = await open(opened);
    });
    afterAll(() => opened.disposeAsync());

    const set = (key: string, model: string, ttlMs = 60_000, parts: readonly Part[] = PARTS) =>
      store.set({ key, model, version: "1", parts }, ttlMs);

    it("gives back what it was given, part by part, and the newest", async () => {
      await set("a", "m", 60_000, PARTS.slice(-1));
      await set("a", "m");
      expect(await store.get("a", "m")).toEqual(PARTS);
      expect(await store.get("ghost", "m")).toBeUndefined();
    });

    it("forgets with time", async () => {
      await set("short", "m", 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(await store.get("short", "m")).toBeUndefined();
    });

    it("is purged by model, whose name is no pattern, or as a whole", async () => {
      await store.purge();
      for (const [key, model] of Object.entries({ a: "m", b: "m2", c: "m", d: "*", e: "m:x" }))
        await set(key, model);
      expect(await store.purge("*")).toBe(1);
      expect(await store.purge("m")).toBe(2);
      expect(await store.get("a", "m")).toBeUndefined();
      expect(await store.get("b", "m2")).toEqual(PARTS);
      expect(await store.purge()).toBe(2);
      expect(await store.get("e", "m:x")).toBeUndefined();
      expect(await store.purge()).toBe(0);
    });
  });
}
