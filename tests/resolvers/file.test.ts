import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import file from "../../resolvers/file/index.ts";
import type { Located, Resolver } from "../../src/contracts/index.ts";
import { resolverContract, testCall, testHost } from "../../src/testing/index.ts";

const files = { "model.onnx": "weights", "more/notes é.txt": "text", "more/deep/empty": "" };
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan file "));
  await mkdir(join(folder, "more/deep"), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
});

afterAll(() => rm(folder, { recursive: true }));

function uri(...path: string[]): string {
  return pathToFileURL(join(folder, ...path)).href;
}

async function locate(where: string): Promise<Located> {
  await using resolver: Resolver = await file.open({ settle: 0 }, testHost());
  return await resolver.locate(where, testCall());
}

describe("contract for a folder", () => {
  const cases = resolverContract(file, {
    uri: () => uri(),
    files,
    missing: () => uri("absent"),
    malformed: () => "file://another-host/path",
    change: () => writeFile(join(folder, "model.onnx"), "other weights"),
  });
  for (const { name, run } of cases) it(name, run);
});

describe("contract for a file", () => {
  const cases = resolverContract(file, {
    uri: () => uri("more/notes é.txt"),
    files: { "notes é.txt": "text" },
    missing: () => uri("model.onnx", "not a folder"),
    malformed: () => "file:///nul%00",
  });
  for (const { name, run } of cases) it(name, run);
});

it("locates files where they are, without a version", async () => {
  const path = join(folder, "model.onnx");
  expect(await locate(uri("model.onnx"))).toMatchObject({ version: "", location: path, path });
});

it("names the path that is not there", async () => {
  await expect(locate(uri("absent"))).rejects.toThrow(`There is no ${join(folder, "absent")}`);
});

it("gives another revision when a file is added, and the same again when it is taken away", async () => {
  const before = await locate(uri());
  await writeFile(join(folder, "more/added"), "");
  expect((await locate(uri())).revision).not.toBe(before.revision);
  await rm(join(folder, "more/added"));
  expect((await locate(uri())).revision).toBe(before.revision);
});

it("follows symbolic links, as mounted volumes have them, but not in circles", async () => {
  const mount = join(folder, "mount");
  await mkdir(join(mount, "..2024"), { recursive: true });
  await writeFile(join(mount, "..2024", "model.onnx"), "one");
  await symlink("..2024", join(mount, "..data"));
  await symlink("..data/model.onnx", join(mount, "model.onnx"));
  await symlink(".", join(mount, "circle"));
  await symlink("nowhere", join(mount, "dangling"));
  const before = await locate(uri("mount"));
  await writeFile(join(mount, "..2024", "model.onnx"), "two!");
  expect((await locate(uri("mount"))).revision).not.toBe(before.revision);
});

it("answers UPSTREAM for what is there and cannot be read", async () => {
  await symlink("itself", join(folder, "itself"));
  await expect(locate(uri("itself"))).rejects.toMatchObject({ code: "UPSTREAM" });
});

it("answers INTERNAL when the copy cannot be written", async () => {
  await using resolver = await file.open({ settle: 0 }, testHost());
  const located = await resolver.locate(uri("model.onnx"), testCall());
  const directory = join(folder, "target");
  await mkdir(join(directory, "model.onnx"), { recursive: true });
  await expect(resolver.fetch(located, directory, testCall())).rejects.toMatchObject({ code: "INTERNAL" });
});
