import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Located } from "../../src/contracts/index.ts";
import { changeDesired, DesiredFile } from "../../src/host/sources/desired.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "capstan-desired-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const open = () => new DesiredFile(root, "repository");
const stoppedCanary = { revision: "r3", reason: "slow" };
const pin: Located = { version: "2", revision: "r2", location: "x" };

describe("decisions in files", () => {
  it("are read by every server of the repository, and by no other", async () => {
    await open().write("m", { pin });
    expect(await open().read()).toEqual({ m: { pin } });
    expect(await new DesiredFile(root, "another").read()).toEqual({});
  });

  it("are changed one after the other, whoever asks", async () => {
    const state = open();
    await Promise.all([
      changeDesired(state, "m", (before) => ({ ...before, pin })),
      changeDesired(state, "m", (before) => ({ ...before, wanted: true })),
      changeDesired(state, "m", (before) => ({ ...before, stoppedCanary })),
    ]);
    expect(await state.read()).toEqual({ m: { pin, wanted: true, stoppedCanary } });
  });

  it("of two servers about two models do not undo each other", async () => {
    const [one, two] = [open(), open()];
    const models = Array.from({ length: 20 }, (_, index) => `m${index}`);
    await Promise.all(models.map((model, at) => [one, two][at % 2]!.write(model, { wanted: false })));
    expect(Object.keys(await open().read()).sort()).toEqual(models.sort());
  });

  it("that are empty are none, and names may be any", async () => {
    const state = open();
    await state.write("a/../b ü", { wanted: false });
    expect(await state.read()).toEqual({ "a/../b ü": { wanted: false } });
    await state.write("a/../b ü", {});
    expect(await state.read()).toEqual({});
    expect(await readdir(join(root, "desired", "repository"))).toEqual([]);
  });

  it("that cannot be read or changed leave the others as they are", async () => {
    const state = open();
    await state.write("m", { pin });
    await writeFile(join(root, "desired", "repository", "half.json"), '{"model": "n", "desi');
    expect(await state.read()).toEqual({ m: { pin } });
    const fail = () => {
      throw new Error("no");
    };
    await expect(changeDesired(state, "m", fail)).rejects.toThrow("no");
    await changeDesired(state, "m", (before) => ({ ...before, wanted: true }));
    expect(await state.read()).toEqual({ m: { pin, wanted: true } });
  });
});
