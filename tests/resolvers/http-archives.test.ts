import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { httpOptions } from "../../resolvers/http/options.ts";
import { type ArchiveKind, archiveKind, unpack } from "../../resolvers/http/unpack.ts";
import { testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { type ArchiveEntry, tarOf, tgzOf, zipOf } from "./support/archives.ts";

/** Unpacks; gives the files. Nothing may have been written beside the directory. */
async function unpacked(kind: ArchiveKind, bytes: Uint8Array, options: object = {}, call = testCall()) {
  await using files = await Files.create();
  const file = files.path("archive");
  const directory = files.path("inner/target");
  await mkdir(directory, { recursive: true });
  await writeFile(file, bytes);
  try {
    await unpack(kind, { file, directory, label: "x://y", limits: httpOptions.parse(options) }, call);
  } finally {
    expect(await readdir(files.root)).toEqual(["archive", "inner"]);
    expect(await readdir(files.path("inner"))).toEqual(["target"]);
  }
  return contents(directory);
}

async function contents(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await readdir(directory, { recursive: true })) {
    const info = await stat(join(directory, name));
    if (info.isFile()) found[name] = await readFile(join(directory, name), "utf8");
    if (info.isFile()) expect(info.mode & 0o133).toBe(0);
  }
  return found;
}

const GOOD: ArchiveEntry[] = [
  { path: "iris/model.onnx", content: "weights" },
  { path: "./iris/deep/é.txt", content: "" },
];

const PACKERS: [ArchiveKind, string, (...entries: ArchiveEntry[]) => Buffer][] = [
  ["tar", "a tar", tarOf],
  ["tar", "a tar.gz", tgzOf],
  ["zip", "a zip", zipOf],
];

it("knows archives by their names", () => {
  expect(["a.tar", "a.TGZ", "a.tar.gz", "a.zip", "a.onnx", "tar"].map(archiveKind)).toEqual([
    ...["tar", "tar", "tar", "zip", undefined, undefined],
  ]);
});

describe.each(PACKERS)("%s as %s", (kind, _, pack) => {
  it("is unpacked", async () => {
    expect(await unpacked(kind, pack(...GOOD))).toEqual({
      "iris/model.onnx": "weights",
      "iris/deep/é.txt": "",
    });
  });

  it("loses its leading folders", async () => {
    const options = { strip_components: 1 };
    const all = [{ path: "README", content: "left out" }, ...GOOD];
    expect(await unpacked(kind, pack(...all), options)).toEqual({
      "model.onnx": "weights",
      "deep/é.txt": "",
    });
  });

  it.each(["../evil", "iris/../../evil", "/tmp/evil", "C:/evil", "..\\evil"])(
    "is refused with %s",
    async (path) => {
      await expect(unpacked(kind, pack({ path, content: "x" }))).rejects.toMatchObject({ code: "UPSTREAM" });
    },
  );

  it("is refused with one entry twice, or as a file and a folder", async () => {
    const twice = pack({ path: "a", content: "1" }, { path: "./a", content: "2" });
    await expect(unpacked(kind, twice)).rejects.toMatchObject({ code: "UPSTREAM" });
    const both = pack({ path: "a", content: "1" }, { path: "a/b", content: "2" });
    await expect(unpacked(kind, both)).rejects.toMatchObject({ code: "UPSTREAM" });
  });

  it("is refused with too many entries or bytes", async () => {
    await expect(unpacked(kind, pack(...GOOD), { max_entries: 1 })).rejects.toThrow("more than 1 entries");
    await expect(unpacked(kind, pack(...GOOD), { max_unpacked_bytes: 3 })).rejects.toThrow(
      "more than 3 bytes",
    );
  });

  it("is refused empty, cut short, and as something else", async () => {
    await expect(unpacked(kind, pack())).rejects.toMatchObject({ code: "UPSTREAM" });
    const whole = pack({ path: "a", content: "0123456789".repeat(500) });
    const short = whole.subarray(0, Math.min(700, Math.floor(whole.length / 2)));
    await expect(unpacked(kind, short)).rejects.toThrow("is not a whole");
    await expect(unpacked(kind, Buffer.from("<html>".repeat(500)))).rejects.toThrow("is not a whole");
  });

  it("leaves with the signal's reason", async () => {
    const call = testCall({ signal: AbortSignal.abort(new Error("enough")) });
    await expect(unpacked(kind, pack(...GOOD), {}, call)).rejects.toThrow("enough");
  });
});

const BOMB = { path: "zeros", content: Buffer.alloc(40 * 1024 * 1024) };

it("refuses a bomb by its ratio", async () => {
  await expect(unpacked("zip", zipOf(BOMB))).rejects.toThrow("as a zip bomb has");
  await expect(unpacked("tar", tgzOf(BOMB))).rejects.toMatchObject({ code: "UPSTREAM" });
});

it.each(["SymbolicLink", "Link", "CharacterDevice", "FIFO"] as const)(
  "refuses a %s in a tar",
  async (type) => {
    const linkpath = type.endsWith("Link") ? { linkpath: "../../etc/passwd" } : {};
    const bytes = tarOf({ path: "fine", content: "1" }, { path: "link", type, ...linkpath });
    await expect(unpacked("tar", bytes)).rejects.toThrow(`'link', a ${type}`);
  },
);

it("takes folders of a tar and of a zip", async () => {
  const entries = [
    { path: "a/", type: "Directory" as const, mode: 0o040755 },
    { path: "a/b", content: "c" },
  ];
  expect(await unpacked("tar", tarOf(...entries))).toEqual({ "a/b": "c" });
  expect(await unpacked("zip", zipOf(...entries))).toEqual({ "a/b": "c" });
});

it("refuses a link, and an encrypted file, in a zip", async () => {
  await expect(unpacked("zip", zipOf({ path: "l", content: "/etc", mode: 0o120777 }))).rejects.toThrow(
    "a link or",
  );
  await expect(unpacked("zip", zipOf({ path: "l", content: "x", flags: 1 }))).rejects.toThrow("encrypted");
});
