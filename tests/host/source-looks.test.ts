import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CapstanError, type Located } from "../../src/contracts/index.ts";
import { Source } from "../../src/host/sources/source.ts";
import { testCall } from "../../src/testing/index.ts";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const at = (version: string): Located => ({ version, revision: `r${version}`, location: "x" });

/** A registry that says what it is told to, when it is told to. */
class Script {
  says: Located | CapstanError = at("1");
  looks = 0;
  readonly changes: (string | undefined)[] = [];
  /** While it is there, no look is answered. */
  gate: Promise<void> | undefined;
  readonly source: Source;

  constructor(pollMs: number) {
    this.source = new Source({
      uri: "models:/m@champion",
      pollMs,
      log: testCall().log,
      locate: async () => {
        this.looks += 1;
        const { says } = this;
        await this.gate;
        if (says instanceof CapstanError) throw says;
        return says;
      },
      changed: () => void this.changes.push(this.source.located?.version),
    });
  }
}

const down = () => new CapstanError("UPSTREAM", "connection refused");
const MINUTE = 60_000;

describe("a source", () => {
  it("that is asked for during a look looks once more: the answer under way may be of before", async () => {
    const script = new Script(0);
    await script.source.look();
    const { promise, resolve } = Promise.withResolvers<void>();
    script.gate = promise;
    const early = script.source.look();
    script.says = at("2");
    const late = [script.source.look(), script.source.look()];
    script.gate = undefined;
    resolve();
    await early;
    expect(script.source.located).toEqual(at("1"));
    await vi.advanceTimersByTimeAsync(1000);
    await Promise.all(late);
    expect(script.source.located).toEqual(at("2"));
    expect(script.looks).toBe(4);
    expect(script.changes).toEqual(["2"]);
  });

  it("tells of a registry that is back, also with what it said before", async () => {
    const script = new Script(MINUTE);
    await script.source.look();
    script.says = down();
    await script.source.look();
    expect(script.source.fault?.message).toBe("connection refused");
    script.says = at("1");
    await script.source.look();
    expect(script.source.fault).toBeUndefined();
    expect(script.changes).toEqual(["1", "1"]);
  });

  it("is looked at later and later while it fails, five minutes apart at most", async () => {
    const script = new Script(MINUTE);
    script.says = down();
    await script.source.look();
    for (const [minutes, looks] of [
      [2, 2],
      [4, 3],
      [5, 4],
      [5, 5],
    ] as const) {
      await vi.advanceTimersByTimeAsync(minutes * MINUTE - 1);
      expect(script.looks).toBe(looks - 1);
      await vi.advanceTimersByTimeAsync(1);
      expect(script.looks).toBe(looks);
    }
    expect(script.source.failures).toBe(5);
    await script.source[Symbol.asyncDispose]();
  });

  it("is looked at early, never late, so that many servers do not ask at once", async () => {
    vi.mocked(Math.random).mockReturnValue(0.5);
    const script = new Script(MINUTE);
    await script.source.look();
    await vi.advanceTimersByTimeAsync(0.9 * MINUTE - 1);
    expect(script.looks).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(script.looks).toBe(2);
    await script.source[Symbol.asyncDispose]();
  });

  it("keeps to a poll that is longer than that", async () => {
    const script = new Script(60 * MINUTE);
    await script.source.look();
    await vi.advanceTimersByTimeAsync(59 * MINUTE);
    expect(script.looks).toBe(1);
    script.says = down();
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(script.looks).toBe(2);
    await vi.advanceTimersByTimeAsync(59 * MINUTE);
    expect(script.looks).toBe(2);
    await script.source[Symbol.asyncDispose]();
  });

  it("does not believe a version that is still changing", async () => {
    const script = new Script(0);
    await script.source.look();
    script.says = at("2");
    const looking = script.source.look();
    await vi.advanceTimersByTimeAsync(25);
    script.says = at("3");
    await vi.advanceTimersByTimeAsync(50);
    expect(script.source.located).toEqual(at("1"));
    await vi.advanceTimersByTimeAsync(50);
    await looking;
    expect(script.changes).toEqual(["3"]);
  });
});
