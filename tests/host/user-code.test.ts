import { rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { UserCode } from "../../src/contracts/index.ts";
import { scanRepository } from "../../src/host/repository.ts";
import { userCodeCounts } from "../../src/host/user-code/counts.ts";
import { UserModule } from "../../src/host/user-code/user-module.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { type HostOptions, pluginHost } from "../support/isolation.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

async function code(text: string, name = "m.ts"): Promise<UserCode> {
  await files.write(name, text);
  return UserModule.import(files.root, files.path(name), testCall());
}

async function value(text: string, name?: string): Promise<unknown> {
  await using module = await code(text, name);
  return module.exported("default");
}

describe("TypeScript as users write it", () => {
  const DECORATED = `
    const seen: unknown[] = [];
    function note(...args: any[]) { seen.push(args.length, typeof args[1]) }
    @note class A { @note method() {} }
    export default seen;`;

  it("has standard decorators", async () => {
    expect(await value(DECORATED)).toEqual([2, "object", 2, "object"]);
  });

  it("has experimental decorators where a tsconfig.json beside the model says so", async () => {
    await files.write(
      "tsconfig.json",
      `{ // ours\n "compilerOptions": { "experimentalDecorators": true, } }`,
    );
    expect(await value(DECORATED)).toEqual([3, "string", 1, "undefined"]);
    expect(await value(DECORATED, "lib/deep/m.ts")).toEqual([3, "string", 1, "undefined"]);
    await files.write("lib/tsconfig.json", "{}");
    expect(await value(DECORATED, "lib/deep/m.ts")).toEqual([2, "object", 2, "object"]);
  });

  it("follows what a tsconfig.json extends, a file or a package", async () => {
    await files.write("base/tsconfig.base.json", { compilerOptions: { experimentalDecorators: true } });
    await files.write("tsconfig.json", { extends: "./base/tsconfig.base" });
    expect(await value(DECORATED)).toEqual([3, "string", 1, "undefined"]);
    await files.write("node_modules/@team/config/package.json", { name: "@team/config" });
    await files.write("node_modules/@team/config/tsconfig.json", {
      extends: "./tsconfig.json",
      compilerOptions: { experimentalDecorators: true },
    });
    await files.write("tsconfig.json", { extends: ["@not/installed", "@team/config/tsconfig.json"] });
    expect(await value(DECORATED)).toEqual([3, "string", 1, "undefined"]);
  });

  it("finds files by the paths and the baseUrl of a tsconfig.json", async () => {
    await files.write("tsconfig.json", {
      compilerOptions: {
        paths: { "@/*": ["./none/*", "./src/*"], "@/lib/*": ["./lib/*"], config: ["./src/config.ts"] },
      },
    });
    await files.write("src/a/index.ts", `export * from "@/lib/b"; export { c } from "config";`);
    await files.write("lib/b.ts", "export enum B { One = 1 }");
    await files.write("src/config.ts", "export const c = 'c';");
    const text = `import { B, c } from "@/a"; import fs from "node:fs"; export default [B.One, c, typeof fs]`;
    expect(await value(text)).toEqual([1, "c", "object"]);
    await files.write("tsconfig.json", { compilerOptions: { baseUrl: "src", paths: {} } });
    await files.write("src/a/index.ts", `export { c } from "config.js";`);
    expect(
      await value(`import { c } from "a"; import { z } from "zod"; export default [c, typeof z]`),
    ).toEqual(["c", "object"]);
  });

  it("goes by the tsconfig.json of a project that is not the model's folder", async () => {
    await files.write("project/package.json", {});
    await files.write("project/src/a.ts", `import { b } from "@/b"; export default b;`);
    await files.write("project/src/b.ts", "export const b = 2;");
    await files.write("project/tsconfig.json", { compilerOptions: { paths: { "@/*": ["./src/*"] } } });
    await files.write("model/model-settings.json", {});
    const load = () => UserModule.import(files.path("model"), files.path("project/src/a.ts"), testCall());
    expect((await load()).exported("default")).toBe(2);
    await files.write("tsconfig.json", { compilerOptions: { paths: { "@/*": ["./project/src/*"] } } });
    await rm(files.path("project/tsconfig.json"));
    await expect(load()).rejects.toThrow(/Cannot find package '@\/b'.* imported from [^ ]*a\.ts$/);
  });

  it("has import and export in the terms of CommonJS, and JSX", async () => {
    await files.write("one.ts", "enum One { A = 1 }\nexport = { a: One.A };");
    await files.write("two.ts", "export const b = 2; export default 3;");
    const text = `
      import fs = require("node:fs");
      import assert = require("node:assert");
      import one = require("./one");
      import two = require('./two')
      export import path = require("node:path");
      assert(true);
      export default [typeof fs.readFileSync, one.a, two.b, two.default, typeof path.join];`;
    expect(await value(text)).toEqual(["function", 1, 2, 3, "function"]);
    await files.write("tsconfig.json", { compilerOptions: { jsxFactory: "h" } });
    await files.write("view.tsx", "const h = (tag: string) => tag; export const view = <b>x</b>;");
    expect(await value(`import { view } from "./view"; export default view`)).toBe("b");
  });

  it("refuses decorators that may read types which are not emitted", async () => {
    await files.write("tsconfig.json", `{ "compilerOptions": {\n"emitDecoratorMetadata": true } }`);
    expect(await value("export default 1")).toBe(1);
    await expect(code("function f(_: any) {}\n@f class A {}")).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(/^tsconfig\.json:2: emitDecoratorMetadata is not supported, .* m\.ts /),
    });
  });

  it("names a tsconfig.json that cannot be read", async () => {
    await files.write("tsconfig.json", `{\n "compilerOptions": }`);
    await expect(code("export default 1")).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(/^tsconfig\.json:2: /),
    });
  });

  it("imports JSON, .mts, .cts and .js written for .ts; a type may be imported as a value", async () => {
    await files.write("data.json", "[1]");
    await files.write("a.mts", "export const a: number = 2;");
    await files.write("b.cts", "const b: number = 3; export = b;");
    await files.write("c.ts", "export interface T {}; export const c = 4 as number;");
    const text = `
      import data from "./data.json";
      import { a } from "./a.mjs";
      import b from "./b.cjs";
      import { c, T } from "./c.js";
      import { type Call, InferRequest, CapstanError } from "capstan";
      import { testCall } from "capstan/testing";
      let t: T, r: InferRequest;
      export default [data[0], a, b, c, typeof CapstanError, testCall().requestId];`;
    expect(await value(text)).toEqual([1, 2, 3, 4, "function", "test"]);
  });

  it.each([
    ["const a = 1;\nlet x: = 3;", "m.ts:2: "],
    ["// a\n// b\nenum Color { Red }\nthrow new Error(String(Color.Red));", "m.ts:4: 0"],
    ["export { T } from './t';", "m.ts:1: "],
    ["import './no-such-file';", "Cannot find module"],
    ["import 'no-such-package';", "Cannot find package 'no-such-package'"],
    ["import '@no/such/sub';", "npm install @no/such"],
    ["throw undefined;", "undefined"],
    ["await Promise.reject(new TypeError('late'));", "m.ts:1: late"],
  ])("says where %j is wrong", async (text, message) => {
    await files.write("t.ts", "export type T = 1;");
    await expect(code(text)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringContaining(message),
    });
  });

  it("is not imported for a caller who has gone", async () => {
    await files.write("m.ts", "export default 1");
    const reason = new Error("gone");
    const call = testCall({ signal: AbortSignal.abort(reason) });
    await expect(UserModule.import(files.root, files.path("m.ts"), call)).rejects.toBe(reason);
    await expect(UserModule.import(files.root, files.path("none.ts"), testCall())).rejects.toThrow(
      "none.ts: there is no such file",
    );
  });
});

describe("a generation", () => {
  it("is counted until it is disposed, which calls its dispose once; a failed one never is", async () => {
    const before = userCodeCounts.generations;
    const log: string[] = [];
    Object.assign(globalThis, { disposals: log });
    const module = await code("export function dispose() { globalThis.disposals.push('m') }");
    expect(userCodeCounts.generations).toBe(before + 1);
    await Promise.all([module[Symbol.asyncDispose](), module[Symbol.asyncDispose]()]);
    await expect(code("throw 1")).rejects.toThrow();
    const failing = await code("export function dispose() { throw new Error('no') }");
    await expect(failing[Symbol.asyncDispose]()).rejects.toThrow("no");
    expect(log).toEqual(["m"]);
    expect(userCodeCounts.generations).toBe(before);
  });

  it("is in the metrics", async () => {
    const metrics = new Metrics();
    metrics.watchUserCode({ generations: 3, failures: new Map([["m", 2]]) });
    const text = await metrics.registry.metrics();
    expect(text).toContain("capstan_user_code_generations 3");
    expect(text).toContain('capstan_user_code_stray_errors_total{model="m"} 2');
  });
});

describe("code that a resolver brought", () => {
  const open = (extra: HostOptions["extra"] = {}) => {
    const host = pluginHost(files.path("model"), { extra });
    return { host, code: () => host.code(files.path("fetched/m.ts"), testCall()) };
  };
  beforeEach(async () => {
    await files.write("fetched/m.ts", "export default 1");
    await files.write("model/m.ts", "export default 2");
  });

  it("is not run, and the message names the key", async () => {
    const { host, code } = open({});
    await host.fetched(files.path("fetched"));
    await expect(code()).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringContaining("parameters.extra.source.trust_code to true"),
    });
    await using own = await host.code(files.path("model/m.ts"), testCall());
    expect(own.exported("default")).toBe(2);
  });

  it("is run when the settings trust it, and so is code beside the model", async () => {
    const { host, code } = open({ source: { trust_code: true } });
    await host.fetched(files.path("fetched"));
    await using trusted = await code();
    expect(trusted.exported("default")).toBe(1);
    await using beside = await open({}).code();
    expect(beside.exported("default")).toBe(1);
  });

  it("is what a plugin fetched, too", async () => {
    await files.write("fetched/target/.keep", "");
    const { host } = open({});
    await host.fetch(`file://${files.path("model")}`, files.path("fetched/target"), testCall());
    await expect(host.code(files.path("fetched/target/m.ts"), testCall())).rejects.toThrow("trust_code");
  });
});

describe("the fingerprint of a model", () => {
  it("changes with its code, with its tsconfig, and with what it imports from elsewhere", async () => {
    await files.write("a/model-settings.json", { implementation: "./m.ts" });
    await files.write("a/m.ts", `import { b } from "./lib/b";\nexport { c } from "../shared/c.js";`);
    await files.write("a/lib/b.ts", `export const b = 1;`);
    await files.write("shared/c.ts", `export * from "./d";`);
    await files.write("shared/d/index.ts", `export const c = 1;`);
    await files.write("shared/unused.ts", "");
    const fingerprint = async () => {
      const [found] = await scanRepository(files.root, {});
      return found!.fingerprint;
    };
    const seen = [await fingerprint()];
    expect(await fingerprint()).toBe(seen[0]);
    const edits: [string, string][] = [
      ["a/lib/b.ts", "export const b = 22;"],
      ["shared/c.ts", `export { c } from "./d/index.js";`],
      ["shared/d/index.ts", "export const c = 22;"],
      ["a/tsconfig.json", "{}"],
    ];
    for (const [file, text] of edits) {
      await files.write(file, text);
      const now = await fingerprint();
      expect(seen).not.toContain(now);
      seen.push(now);
    }
    await files.write("shared/unused.ts", "export default 1;");
    expect(await fingerprint()).toBe(seen.at(-1));
  });
});
