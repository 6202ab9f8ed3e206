import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Located } from "../../src/contracts/index.ts";
import { ArtifactCache } from "../../src/host/cache/artifact-cache.ts";
import { isOwnerAlive, ownedName } from "../../src/host/cache/files.ts";
import { locked } from "../../src/host/cache/lock.ts";
import { testCall } from "../../src/testing/index.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "capstan-processes-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const { log } = testCall();
const open = (maxBytes: number) => new ArtifactCache(root, maxBytes, log);
const located = (revision: string): Located => ({ version: revision, revision, location: "x" });
const writing = (content: string) => (folder: string) => writeFile(join(folder, "model"), content);
const kept = async () => (await readdir(join(root, "artifacts"))).filter((name) => !name.endsWith(".json"));

describe("what a process owns", () => {
  it("is not that of a later process with the same id, as a container's first is at every start", () => {
    expect(isOwnerAlive(ownedName())).toBe(true);
    const [id, start] = ownedName().split(/[.-]/, 2) as [string, string];
    expect(id).toBe(String(process.pid));
    expect(isOwnerAlive(`${id}.${Number(start) - 1}-x`)).toBe(false);
    expect(isOwnerAlive("999999999.1-x")).toBe(false);
  });

  it("does not hold an artifact, or a place aside, beyond its end", async () => {
    const first = await open(1e9).acquire("k", located("1"), writing("1".repeat(10)));
    await first[Symbol.asyncDispose]();
    const earlier = `${process.pid}.1-earlier`;
    await writeFile(join(root, "leases", first.digest, earlier), "");
    await mkdir(join(root, "aside", earlier), { recursive: true });
    const second = await open(10).acquire("k", located("2"), writing("2".repeat(10)));
    expect(await kept()).toEqual([second.digest]);
    expect(await readdir(join(root, "aside"))).toEqual([]);
  });
});

it("a folder that a killed process left without its list is removed, unless it was only just put there", async () => {
  const stray = await open(1e9).acquire("k", located("1"), writing("1"));
  await rm(join(root, "artifacts", `${stray.digest}.json`));
  const start = (strayMs?: number) =>
    new ArtifactCache(root, 1e9, log, { ...(strayMs === 0 && { strayMs }) });
  await start(0).acquire("k", located("2"), writing("2"));
  await stray[Symbol.asyncDispose]();
  await start().acquire("k", located("3"), writing("3"));
  expect(await kept()).toContain(stray.digest);
  await start(0).acquire("k", located("4"), writing("4"));
  expect(await kept()).toHaveLength(3);
  expect(await kept()).not.toContain(stray.digest);
});

describe("a lock between processes", () => {
  const path = () => join(root, "lock");

  it("lets one in at a time", async () => {
    let inside = 0;
    const work = async () => {
      inside += 1;
      expect(inside).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 2));
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 10 }, () => locked(path(), work)));
    expect(await readdir(root)).toEqual([]);
  });

  it("is let go of by work that fails", async () => {
    await expect(locked(path(), () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await locked(path(), async () => "in")).toBe("in");
  });

  it("of a dead owner, or of none since long ago, counts for nothing", async () => {
    await writeFile(path(), "999999999.1-dead");
    expect(await locked(path(), async () => "in")).toBe("in");
    await writeFile(path(), "");
    await utimes(path(), new Date(0), new Date(0));
    expect(await locked(path(), async () => "in")).toBe("in");
    expect(await readdir(root)).toEqual([]);
  });

  it("of a living owner is waited for", async () => {
    await writeFile(path(), ownedName());
    let isIn = false;
    const entering = locked(path(), async () => {
      isIn = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(isIn).toBe(false);
    await rm(path());
    await entering;
    expect(isIn).toBe(true);
  });

  it("cannot be had where nothing can be written", async () => {
    await writeFile(join(root, "file"), "");
    await expect(locked(join(root, "file", "lock"), async () => {})).rejects.toThrow(/ENOTDIR|EEXIST/);
  });
});

/** Takes one artifact after the other from a cache that holds a few, and looks whether they are whole while held. */
const TAKER = `
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
const [, module, root, rounds] = process.argv;
const { ArtifactCache } = await import(module);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const cache = new ArtifactCache(root, 5000, quiet);
for (let round = 0; round < Number(rounds); round++) {
  const revision = String(Math.floor(Math.random() * 6));
  const fetch = (folder) => writeFile(join(folder, "model"), revision.repeat(2000));
  const artifact = await cache.acquire("k", { version: revision, revision, location: "x" }, fetch);
  for (let look = 0; look < 3; look++) {
    const text = await readFile(join(artifact.path, "model"), "utf8");
    if (text !== revision.repeat(2000)) throw new Error("it holds something else");
  }
  await artifact[Symbol.asyncDispose]();
}`;

it("processes that share a small cache never take from each other what they hold", async () => {
  const module = new URL("../../src/host/cache/artifact-cache.ts", import.meta.url).href;
  const args = ["--input-type=module", "-e", TAKER, module, root, process.env.ROUNDS ?? "60"];
  const children = Array.from({ length: 3 }, () => spawn(process.execPath, args));
  const ends = await Promise.all(children.map(endOf));
  expect(ends).toEqual(children.map(() => ({ code: 0, said: "" })));
});

async function endOf(child: ChildProcess): Promise<{ code: unknown; said: string }> {
  let said = "";
  child.stderr!.on("data", (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, "close");
  return { code, said };
}
