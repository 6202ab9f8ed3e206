import { mkdir, rename, utimes } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import file from "../../resolvers/file/index.ts";
import type { Call } from "../../src/contracts/index.ts";
import { resolverContract, testCall, testHost } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";

async function locate(path: string, settle = 0, call: Call = testCall()) {
  await using resolver = await file.open({ settle }, testHost());
  return await resolver.locate(pathToFileURL(path).href, call);
}

const files = await Files.create({
  "iris/1/model.onnx": "one",
  "iris/10/model.onnx": "ten",
  "iris/9/a": "",
  "iris/.x": "",
});

describe("contract for a folder of versions", () => {
  const cases = resolverContract(file, {
    options: { settle: "0" },
    uri: () => pathToFileURL(files.path("iris")).href,
    files: { "model.onnx": "ten" },
    missing: () => pathToFileURL(`${files.path("iris/1")}@latest`).href,
    change: async () => void (await files.write("iris/11/model.onnx", "eleven")),
  });
  for (const { name, run } of cases) it(name, run);
  it("ends", () => files[Symbol.asyncDispose]());
});

it("stands for the highest version, by number", async () => {
  await using made = await Files.create({ "2/m": "", "10/m": "", "9/m": "" });
  const path = made.path("10");
  expect(await locate(made.root)).toMatchObject({ version: "10", path });
});

it("is asked for one version by its path", async () => {
  await using made = await Files.create({
    "iris/2/m": "",
    "iris/10/m": "",
    "plain/2/m": "",
    "plain/notes.txt": "",
  });
  expect(await locate(made.path("iris/2"))).toMatchObject({ version: "2", path: made.path("iris/2") });
  expect(await locate(made.path("plain/2"))).toMatchObject({ version: "", path: made.path("plain/2") });
});

it("takes a folder with other things for what it is, unless it ends in @latest", async () => {
  await using made = await Files.create({ "iris/2/m": "", "iris/config.pbtxt": "", "mail@latest/1.txt": "" });
  expect(await locate(made.path("iris"))).toMatchObject({ version: "", path: made.path("iris") });
  expect(await locate(`${made.path("iris")}@latest`)).toMatchObject({ version: "2" });
  expect(await locate(made.path("mail@latest"))).toMatchObject({ version: "" });
});

describe("a version that is not complete", () => {
  it.each([".incomplete", "model.onnx.tmp", "deep/model.part", "x.PARTIAL"])(
    "is not taken: %s",
    async (name) => {
      await using made = await Files.create({ "1/m": "", "2/m": "", [`2/${name}`]: "" });
      expect(await locate(made.root)).toMatchObject({ version: "1" });
    },
  );

  it("is not taken while it is empty, or has another name yet", async () => {
    await using made = await Files.create({ "1/m": "", "3.tmp/m": "" });
    await mkdir(made.path("2"));
    expect(await locate(made.root)).toMatchObject({ version: "1" });
    await rename(made.path("3.tmp"), made.path("3"));
    expect(await locate(made.root)).toMatchObject({ version: "3" });
  });

  it("is not taken while it changes, also by tools that keep the file's own time", async () => {
    await using made = await Files.create({ "1/m": "" });
    await new Promise((resolve) => setTimeout(resolve, 2100));
    await made.write("2/m", "half");
    await utimes(made.path("2/m"), 1, 1);
    expect(await locate(made.root, 2000)).toMatchObject({ version: "1" });
  });

  it("is waited for where there is no other", async () => {
    await using made = await Files.create({ "1/m": "" });
    expect(await locate(made.root, 100)).toMatchObject({ version: "1" });
  });

  it("is NOT_READY in the end", async () => {
    await using made = await Files.create({ "1/m.tmp": "" });
    await expect(locate(made.root)).rejects.toMatchObject({ code: "NOT_READY" });
  });

  it("is not waited for by a call that was aborted", async () => {
    await using made = await Files.create({ "1/m": "" });
    const call = testCall({ signal: AbortSignal.timeout(20) });
    await expect(locate(made.root, 60_000, call)).rejects.toMatchObject({ name: "TimeoutError" });
  });
});
