import { describe, expect, it } from "vitest";
import { collect, testCall } from "../../src/testing/index.ts";
import { answer, open, REQUEST, scorer, write } from "../support/user-module.ts";

describe("faults in the code", () => {
  it("are INTERNAL with file and line, for that request alone", async () => {
    const code = `let calls = 0;
export default () => {
  calls += 1;
  if (calls === 1) throw new Error("first");
  return { outputs: [{ name: "y", data: [calls] }] };
}`;
    await using runtime = await scorer(code);
    await expect(answer(runtime)).rejects.toMatchObject({
      code: "INTERNAL",
      message: "Model 'scorer' failed at scorer.ts:4: first",
    });
    expect(await answer(runtime)).toEqual(Float64Array.of(2));
  });

  it("keep the code of a CapstanError", async () => {
    const code = `import { CapstanError } from "capstan"; export default () => { throw new CapstanError("RATE_LIMITED", "later") }`;
    await using runtime = await scorer(code);
    await expect(answer(runtime)).rejects.toMatchObject({ code: "RATE_LIMITED" });
  });

  it.each([
    [
      "a throw while loading",
      `const a: number = 1;\n\nthrow new Error("broken " + a);`,
      "scorer.ts:3: broken 1",
    ],
    [
      "a throw in load()",
      `export default class A {\n load() {\n throw new Error("no") }\n predict() {} }`,
      "scorer.ts:3: load\\(\\) failed: no",
    ],
    [
      "a throw in the constructor",
      `export default class A {\n constructor() { throw 5 }\n predict() {} }`,
      "scorer.ts: it cannot be made: 5",
    ],
    [
      "a throw below an enum",
      `enum Color {\n Red,\n Green }\nexport const a = Color.Red;\nthrow new Error("moved");`,
      "scorer.ts:5: moved",
    ],
    ["TypeScript that is none", `const ok = 1;\nlet x: = 3;`, 'scorer.ts:2: Unexpected "="'],
    ["an import that is not there", `import "./nothing";`, "Cannot find module"],
    [
      "a type exported as a value",
      `export { InferRequest } from "capstan";\nexport default (r: InferRequest) => r;`,
      "scorer.ts:1: .*write `import type` or `export type`",
    ],
    ["JavaScript V8 refuses", `export default function f() {\n  const a = 1; const a = 2; }`, "scorer.ts"],
  ])("are LOAD_FAILED with file and line: %s", async (_, code, message) => {
    await expect(scorer(code)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(message),
    });
  });

  it("in an imported JavaScript file are told with its name and line", async () => {
    await write({ "lib/helper.mjs": "export const a = 1;\nexport const b = ;\n" });
    await expect(scorer(`import "./lib/helper.mjs";`)).rejects.toThrow(/^lib\/helper\.mjs:2: /);
  });

  it("do not keep an aborted caller waiting", async () => {
    await using runtime = await scorer(`export default class A {
      predict() { return new Promise(() => {}) }
      async *inferStream() { await new Promise(() => {}); yield 1 }
    }`);
    for (const work of [
      (signal: AbortSignal) => runtime.infer(REQUEST, testCall({ signal })),
      (signal: AbortSignal) => collect(runtime.inferStream!(REQUEST, testCall({ signal }))),
    ]) {
      const controller = new AbortController();
      const reason = new Error("gone");
      const answered = expect(work(controller.signal)).rejects.toBe(reason);
      setImmediate(() => controller.abort(reason));
      await answered;
    }
  });
});

describe("what TypeScript may hold", () => {
  it("runs enums, parameter properties and namespaces, and imports without extension", async () => {
    await write({
      "lib/index.ts": `export { two } from "./two.js";`,
      "lib/two.ts": "export const two: number = 2;",
      "package.json": `{ "imports": { "#three": "./three.ts" } }`,
      "three.ts": "export default 3;",
      "half.cjs": "module.exports = require('./quarter.cjs') * 2;",
      "quarter.cjs": "module.exports = 0.25;",
    });
    await using runtime = await scorer(`
      import { two } from "./lib";
      import half from "./half.cjs";
      import three from "#three";
      enum Color { Red = 1 }
      namespace Four { export const four = 4 }
      class P { constructor(private readonly n: number) {} get() { return this.n } }
      export default async () => {
        const { default: again } = await import(new URL("./three.ts", import.meta.url).href);
        const data = [Color.Red, two, three, Four.four, new P(5).get(), half, again];
        return { outputs: [{ name: "y", data }] };
      }`);
    expect(await answer(runtime)).toEqual(Float64Array.of(1, 2, 3, 4, 5, 0.5, 3));
  });

  it("finds packages from the model's folder before the server's", async () => {
    await write({
      "node_modules/zod/package.json": `{ "name": "zod", "type": "module", "exports": "./index.js" }`,
      "node_modules/zod/index.js": "export const z = 41;",
    });
    await using runtime = await scorer(
      `import { z } from "zod"; export default () => ({ outputs: [{ name: "y", data: [z] }] })`,
    );
    expect(await answer(runtime)).toEqual(Float64Array.of(41));
    await expect(scorer(`import "no-such-package-here"`)).rejects.toThrow("no-such-package-here");
  });
});

describe("reload", () => {
  it("takes up edits of the entry and of what it imports; the old generation goes on", async () => {
    await write({ "lib/b.ts": "export const b = 1;", "c.cjs": "module.exports = 10;" });
    const code = `import { b } from "./lib/b.ts"; import c from "./c.cjs"; export default () => ({ outputs: [{ name: "y", data: [b + c] }] })`;
    await using first = await scorer(code);
    await write({ "lib/b.ts": "export const b = 2;" });
    await using second = await open();
    await write({ "c.cjs": "module.exports = 20;" });
    await using third = await scorer(code.replace("b + c", "-b - c"));
    expect(await Promise.all([first, second, third].map(answer))).toEqual(
      [[11], [12], [-22]].map((v) => Float64Array.from(v)),
    );
  });

  it("disposes the instance, then its module, once", async () => {
    const log: string[] = [];
    Object.assign(globalThis, { disposed: log });
    const code = `
      export default class A {
        async dispose() { globalThis.disposed.push("class") }
        predict() { return { outputs: [{ name: "y", data: [1] }] } }
      }
      export function dispose() { globalThis.disposed.push("module") }`;
    const runtime = await scorer(code);
    await Promise.all([runtime[Symbol.asyncDispose](), runtime[Symbol.asyncDispose]()]);
    expect(log).toEqual(["class", "module"]);
    const failing = code.replace("predict()", "load() { throw new Error('no') } predict()");
    await expect(scorer(failing)).rejects.toThrow("no");
    expect(log).toEqual(["class", "module", "module"]);
  });
});
