import { describe, expect, it } from "vitest";
import { Generation, type GenerationParts } from "../../src/host/generation.ts";

function generation(): { generation: Generation; disposed: () => number } {
  let disposed = 0;
  const resources = new AsyncDisposableStack();
  resources.defer(() => {
    disposed += 1;
  });
  const parts = { resources, raw: {}, spec: { name: "m", version: "1", folder: "/" } };
  return { generation: new Generation(parts as unknown as GenerationParts), disposed: () => disposed };
}

describe("a retired generation", () => {
  it("is disposed at once when nothing is in flight, and only once", async () => {
    const { generation: idle, disposed } = generation();
    expect(await Promise.all([idle.retire(0), idle.retire(0)])).toEqual([0, 0]);
    expect(disposed()).toBe(1);
  });

  it("waits for its last lease", async () => {
    const { generation: busy, disposed } = generation();
    busy.acquire();
    busy.acquire();
    const retired = busy.retire(0);
    busy.release();
    await Promise.resolve();
    expect(disposed()).toBe(0);
    busy.release();
    expect(await retired).toBe(0);
    expect(disposed()).toBe(1);
  });

  it("is disposed when the wait is over, and says what was left", async () => {
    const { generation: stuck, disposed } = generation();
    stuck.acquire();
    expect(await stuck.retire(10)).toBe(1);
    expect(disposed()).toBe(1);
  });
});
