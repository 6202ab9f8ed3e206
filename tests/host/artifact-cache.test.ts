import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Located } from "../../src/contracts/index.ts";
import { ArtifactCache } from "../../src/host/cache/artifact-cache.ts";
import { isOwnerAlive } from "../../src/host/cache/files.ts";
import { testCall } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "capstan-artifacts-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const { log } = testCall();
const open = (maxBytes = 1e9) => new ArtifactCache(root, maxBytes, log);
const located = (revision: string): Located => ({ version: revision, revision, location: "x" });
const writing = (content: string) => async (folder: string) => {
  await mkdir(join(folder, "sub"), { recursive: true });
  await writeFile(join(folder, "sub", "model"), content);
};
const refuse = () => Promise.reject(new Error("fetched again"));
const kept = async () => (await readdir(join(root, "artifacts"))).filter((name) => !name.endsWith(".json"));

describe("the cache of artifacts", () => {
  it("fetches a revision once, and keeps the same content once", async () => {
    const cache = open();
    let fetches = 0;
    const fetch = async (folder: string) => {
      fetches += 1;
      await writing("a")(folder);
    };
    const [one, two] = await Promise.all([
      cache.acquire("k", located("1"), fetch),
      cache.acquire("k", located("1"), fetch),
    ]);
    expect(fetches).toBe(1);
    expect(await readFile(join(one.path, "sub", "model"), "utf8")).toBe("a");
    const again = await open().acquire("k", located("1"), refuse);
    const other = await cache.acquire("other", located("9"), writing("a"));
    expect(new Set([one, two, again, other].map(({ path }) => path)).size).toBe(1);
    expect(await kept()).toEqual([one.digest]);
  });

  it("shows a fetch what served last of the same source, where it is whole, and holds it meanwhile", async () => {
    const cache = open();
    const seen: (string | undefined)[] = [];
    const fetch = (content: string) => async (folder: string, earlier: string | undefined) => {
      seen.push(earlier && (await readFile(join(earlier, "sub", "model"), "utf8")));
      if (earlier) expect(await readdir(join(root, "leases", earlier.split("/").at(-1)!))).toHaveLength(2);
      await writing(content)(folder);
    };
    const first = await cache.acquire("k", located("1"), fetch("a"));
    await cache.remember("k", located("1"));
    await cache.remember("k", { ...located("in place"), path: root });
    await cache.acquire("k", located("2"), fetch("b"));
    await cache.acquire("other", located("1"), fetch("c"));
    await rm(join(first.path, "sub"), { recursive: true });
    await cache.acquire("k", located("3"), fetch("d"));
    expect(seen).toEqual([undefined, "a", undefined, undefined]);
  });

  it("leaves nothing of a fetch that fails", async () => {
    const fetch = async (folder: string) => {
      await writing("half")(folder);
      throw new Error("the network went away");
    };
    await expect(open().acquire("k", located("1"), fetch)).rejects.toThrow("went away");
    expect(await readdir(join(root, "aside"))).toEqual([]);
    expect(await readdir(root)).not.toContain("artifacts");
    const { digest } = await open().acquire("k", located("1"), writing("whole"));
    expect(await kept()).toEqual([digest]);
  });

  it("fetches again what was damaged", async () => {
    const { path } = await open().acquire("k", located("1"), writing("abc"));
    await writeFile(join(path, "sub", "model"), "a");
    const mended = await open().acquire("k", located("1"), writing("abc"));
    expect(await readFile(join(mended.path, "sub", "model"), "utf8")).toBe("abc");
    await rm(join(root, "artifacts", `${mended.digest}.json`));
    await open().acquire("k", located("1"), writing("abc"));
  });

  it("drops what was not used for longest, and never what is held", async () => {
    const cache = open(25);
    const held = await cache.acquire("k", located("1"), writing("1".repeat(10)));
    const old = await cache.acquire("k", located("2"), writing("2".repeat(10)));
    await old[Symbol.asyncDispose]();
    for (const [index, { digest }] of [held, old].entries()) {
      const at = new Date(Date.now() - 1000 * (10 - index));
      await utimes(join(root, "artifacts", `${digest}.json`), at, at);
    }
    const fresh = await cache.acquire("k", located("3"), writing("3".repeat(10)));
    expect((await kept()).sort()).toEqual([held.digest, fresh.digest].sort());
    await held[Symbol.asyncDispose]();
    await fresh[Symbol.asyncDispose]();
    await writeFile(join(root, "leases", held.digest, "999999999-dead"), "");
    const last = await cache.acquire("k", located("4"), writing("4".repeat(20)));
    expect(await kept()).toEqual([last.digest]);
  });

  it("remembers what served, the newest first", async () => {
    const cache = open();
    for (const revision of ["1", "2", "1", "3"]) await cache.remember("k", located(revision));
    expect((await cache.history("k")).map(({ revision }) => revision)).toEqual(["3", "1", "2"]);
    for (let revision = 10; revision < 30; revision++) await cache.remember("k", located(String(revision)));
    expect(await cache.history("k")).toHaveLength(10);
    expect(await cache.history("other")).toEqual([]);
  });

  it("knows whether a process is there", () => {
    expect(isOwnerAlive(`${process.pid}-x`)).toBe(true);
    expect(isOwnerAlive("999999999-x")).toBe(false);
    expect(isOwnerAlive("x")).toBe(false);
    expect(isOwnerAlive("1-x")).toBe(true);
  });
});

/** Fetches forever, many files, until it is killed. */
const FETCHER = `
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
const { ArtifactCache } = await import(process.argv[1]);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const cache = new ArtifactCache(process.argv[2], 1e9, quiet);
for (let revision = 0; ; revision++) {
  const fetch = async (folder) => {
    for (let file = 0; file < 20; file++) await writeFile(join(folder, "f" + file), "x".repeat(1000) + revision);
  };
  await cache.acquire("k", { version: "1", revision: String(revision % 5), location: "x" }, fetch);
  console.log("fetched");
}`;

it("survives processes that are killed at any point, and several at once", async () => {
  const module = new URL("../../src/host/cache/artifact-cache.ts", import.meta.url).href;
  for (let round = 0; round < 4; round++) {
    const children = [0, 1].map(() =>
      spawn(process.execPath, ["--input-type=module", "-e", FETCHER, module, root]),
    );
    const seen = children.map((child) => {
      const output = { fetched: 0 };
      child.stdout.on("data", () => {
        output.fetched += 1;
      });
      return output;
    });
    await eventually(() => seen.every(({ fetched }) => fetched > round));
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => new Promise((resolve) => child.once("exit", resolve))));
    const cache = open();
    for (let revision = 0; revision < 5; revision++) {
      const fetch = async (folder: string) => {
        for (let file = 0; file < 20; file++) {
          await writeFile(join(folder, `f${file}`), "x".repeat(1000) + revision);
        }
      };
      const { path } = await cache.acquire("k", located(String(revision)), fetch);
      expect(await readdir(path)).toHaveLength(20);
      expect(await readFile(join(path, "f19"), "utf8")).toBe("x".repeat(1000) + revision);
    }
    expect(await readdir(join(root, "aside"))).toEqual([]);
  }
});
