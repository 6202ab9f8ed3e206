import { expect, it } from "vitest";
import { workerCounts } from "../../src/host/isolation/worker.ts";
import { userCodeCounts } from "../../src/host/user-code/counts.ts";
import { testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { loadRuntime, spec } from "../support/isolation.ts";

const CODE = `export default () => ({ outputs: [{ name: "y", data: [1] }] })`;

/**
 * Each load starts a thread and evaluates the code anew, and Node never unloads a module of a thread that lives.
 * `npm run bench:reload` does 300 and reads the memory.
 */
it("40 reloads of code on a thread leave no thread and no code", { timeout: 60_000 }, async () => {
  await using files = await Files.create({ "m.ts": CODE });
  const before = { ...workerCounts, generations: userCodeCounts.generations };
  const reload = async () => {
    const options = { extra: { isolation: "thread" } } as const;
    await using runtime = await loadRuntime("module", spec(files.root), { module: "./m.ts" }, options);
    const { outputs } = await runtime.infer({ parameters: {}, inputs: [] }, testCall());
    expect(outputs[0]!.data).toEqual(Float64Array.of(1));
  };
  for (let n = 0; n < 20; n++) await Promise.all([reload(), reload()]);
  expect(workerCounts.started - before.started).toBe(40);
  expect(workerCounts.joined - before.joined).toBe(40);
  expect(userCodeCounts.generations).toBe(before.generations);
});
