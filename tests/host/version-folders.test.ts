import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { adding } from "../support/registry.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let repository: TestRepository;
let server: TestServer;
/** The versions lie outside of what the server serves. */
let root: string;
beforeEach(async () => {
  repository = await TestRepository.create();
  root = repository.path("served");
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const at = (...parts: string[]) => repository.path("iris", ...parts);

async function put(version: string, ...unfinished: string[]): Promise<void> {
  await mkdir(at(version), { recursive: true });
  for (const name of unfinished) await writeFile(at(version, name), "");
  await writeFile(at(version, "model.onnx"), adding(Number.parseInt(version, 10)));
}

async function start(uri: string, source: object = { settle: "300ms", poll: "100ms" }): Promise<void> {
  const settings = { name: "m", implementation: "onnx", parameters: { uri, extra: { source } } };
  await repository.write("served/m", settings);
  server = await serve(root, { repository_poll: "100ms" });
}

/** Which version answers, by what it adds and by what it says. */
async function answer(): Promise<[number, string]> {
  const inputs = [{ name: "x", shape: [1], datatype: "INT64", data: [0] }];
  const { body } = await server.post("/v2/models/m/infer", { inputs });
  const { outputs, model_version } = body as { outputs: [{ data: [number] }]; model_version: string };
  return [outputs[0].data[0], model_version];
}
const serves = (version: number) => eventually(async () => (await answer())[0] === version);

describe.each(["", "@latest"])("a folder of versions, asked for with '%s'", (suffix) => {
  const uri = () => pathToFileURL(at()).href + suffix;

  it("is followed to the version that is put beside the others, once it is complete", async () => {
    await put("1");
    await start(uri());
    expect(await answer()).toEqual([1, "1"]);
    await put("2");
    await serves(2);
    expect(await answer()).toEqual([2, "2"]);
    await put("10", ".incomplete");
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await answer()).toEqual([2, "2"]);
    await rm(at("10", ".incomplete"));
    await serves(10);
    await put("11.tmp");
    await rename(at("11.tmp"), at("11"));
    await serves(11);
  });

  it("is rolled back and pinned as a registry is", async () => {
    await put("1");
    await start(uri());
    await put("2");
    await serves(2);
    expect((await server.post("/v2/models/m/rollback")).status).toBe(200);
    expect(await answer()).toEqual([1, "1"]);
    await put("3");
    await serves(3);
    expect((await server.post("/v2/models/m/pin", { version: "2" })).status).toBe(200);
    expect(await answer()).toEqual([2, "2"]);
    expect((await server.post("/v2/models/m/pin", { version: "9" })).status).toBe(501);
  });
});
