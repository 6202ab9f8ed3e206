import { execFile } from "node:child_process";
import { mkdir, symlink } from "node:fs/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { builtInNames, loadPlugin, type PluginKind, resolverFor } from "../../src/host/plugins.ts";
import { Files } from "../support/files.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

const OPTIONS = "options: { shape: {}, safeParse: (value) => ({ success: true, data: value }) }";
const source = (fields: string) => `export default { ${OPTIONS}, ${fields} };`;
const RUNTIME = source(`kind: "runtime", name: "mine", async load() {}`);

const load = (name: string, kind: PluginKind = "runtime") => loadPlugin(kind, name, files.root);
const addPackage = async (name: string, code: string, manifest: object = {}) => {
  const folder = `node_modules/${name}`;
  await files.write(`${folder}/package.json`, { name, version: "1.0.0", type: "module", ...manifest });
  await files.write(`${folder}/index.js`, code);
};

describe("plugins of this server", () => {
  it("are listed by name, and one folder may hold one", async () => {
    expect(await builtInNames("runtime")).toContain("onnx");
    expect(await builtInNames("adapter")).toContain("echo");
    expect(await builtInNames("memory")).toContain("in-process");
  });

  it.each(["runtime", "adapter", "resolver", "memory"] as const)(
    "of kind %s all load, and once",
    async (kind) => {
      for (const name of await builtInNames(kind)) {
        const plugin = await load(name, kind);
        expect(plugin).toMatchObject({ kind, name });
        expect(await loadPlugin(kind, name, "/elsewhere")).toBe(plugin);
      }
    },
  );

  it("are found before a file or package of that name", async () => {
    await addPackage("onnx", RUNTIME);
    expect((await load("onnx")).name).toBe("onnx");
  });

  it("have a resolver for files, and an error that lists schemes for what no one resolves", async () => {
    expect((await resolverFor("file")).name).toBe("file");
    await expect(resolverFor("fiel")).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(/'fiel:'; did you mean "file"\?.*file/),
    });
  });
});

describe("plugins from outside", () => {
  it("may be a file beside the model, with types", async () => {
    await files.write(
      "mine.ts",
      `const name: string = "typed"; ${source(`kind: "runtime", name, async load() {}`)}`,
    );
    expect((await load("./mine.ts")).name).toBe("typed");
  });

  it("may be a file in any TypeScript, and is read again when it or what it imports has changed", async () => {
    const text = `import { word } from "./lib/word";
      enum Name { Mine = "mine" }
      const same = (value: any, _: unknown) => value;
      class Made { constructor(readonly name: string) {} @same suffix() { return word } }
      const made = new Made(Name.Mine);
      ${source(`kind: "adapter", name: made.name + made.suffix(), async load() {}`)}`;
    await files.write("mine.ts", text);
    await files.write("lib/word.ts", "export const word: string = 'One';");
    const first = await load("./mine.ts", "adapter");
    expect(first.name).toBe("mineOne");
    expect(await load("./mine.ts", "adapter")).toBe(first);
    await files.write("lib/word.ts", "export const word: string = 'Another';");
    expect((await load("./mine.ts", "adapter")).name).toBe("mineAnother");
    await files.write("lib/word.ts", "export const word: string =\n = 1;");
    await expect(load("./mine.ts", "adapter")).rejects.toThrow(/'.\/mine.ts' does not load: lib.word.ts:2: /);
  });

  it("may be an npm package with exports for import only, found from the model's folder upwards", async () => {
    await addPackage("@team/runtime", RUNTIME, { exports: { ".": { import: "./index.js" } } });
    await mkdir(files.path("models/iris"), { recursive: true });
    expect((await loadPlugin("runtime", "@team/runtime", files.path("models/iris"))).name).toBe("mine");
  });

  it("are an error that names the nearest when there is none", async () => {
    await expect(load("onxx")).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(
        /no runtime 'onxx'; did you mean "onnx"\? .*has .*onnx.* npm install onxx/,
      ),
    });
    await expect(load("./gone.ts")).rejects.toThrow(/there is no file .*gone.ts/);
  });

  it.each([
    ["export const a = 1;", "it has no default export that is an object"],
    [source(`kind: "adapter", name: "x", load() {}`), 'its kind is "adapter"'],
    [source(`kind: "runtime", name: "", load() {}`), "it has no name"],
    [source(`kind: "runtime", name: "x", open() {}`), "it has no load()"],
    [`export default { kind: "runtime", name: "x", load() {} };`, "its options are not a zod object schema"],
  ])("are refused when they are not one: %s", async (code, why) => {
    await files.write("mine.mjs", code);
    await expect(load("./mine.mjs")).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringContaining(`${why}. Make its default export with defineRuntime()`),
    });
  });

  it("need schemes where they are resolvers", async () => {
    await files.write("mine.mjs", source(`kind: "resolver", name: "x", open() {}`));
    await expect(load("./mine.mjs", "resolver")).rejects.toThrow(/no list of schemes/);
  });

  it("say what to install when a package of theirs is missing, and load once it is there", async () => {
    await addPackage("needy", `import "@lib/missing/sub"; ${RUNTIME}`);
    await expect(load("needy")).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: "The runtime 'needy' needs a package that is not installed: npm install @lib/missing",
    });
  });

  it("keep the cause of any other failure", async () => {
    await addPackage("broken", `throw new Error("no GPU here");`);
    const failure = await load("broken").catch((error: Error) => error);
    expect(failure).toMatchObject({ code: "LOAD_FAILED", message: expect.stringContaining("no GPU here") });
    expect((failure as Error).cause).toBeInstanceOf(Error);
  });

  it("get the running server's own contracts and contract kits as capstan", async () => {
    await addPackage(
      "outside",
      `import * as c from "capstan"; import * as t from "capstan/testing"; export default {
      kind: "runtime", name: "outside", options: { shape: {}, safeParse() {} }, load() {}, c, t };`,
    );
    await symlink(files.path("node_modules/outside"), files.path("node_modules/linked"));
    const main = new URL("../../src/", import.meta.url).href;
    const script = `
      const { loadPlugin } = await import("${main}host/plugins.ts");
      const contracts = await import("${main}contracts/index.ts");
      const testing = await import("${main}testing/index.ts");
      const { c, t } = await loadPlugin("runtime", "linked", ${JSON.stringify(files.root)});
      console.log(c.CapstanError === contracts.CapstanError, t === testing);`;
    const run = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    expect(run.stdout.trim()).toBe("true true");
  });
});
