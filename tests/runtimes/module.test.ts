import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import module from "../../runtimes/module/index.ts";
import type { InferRequest, ModelSpec, Runtime } from "../../src/contracts/index.ts";
import { collect, runtimeContract, testCall, testHost } from "../../src/testing/index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan-module-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

const spec = (more: Partial<ModelSpec> = {}): ModelSpec => ({
  name: "scorer",
  version: "1",
  folder,
  ...more,
});

function open(options: Record<string, unknown> = {}, model = spec()): Promise<Runtime> {
  const parsed = module.options.safeParse({ module: "./scorer.ts", ...options });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return module.load(model, parsed.data, testHost(), testCall());
}

/** The code as scorer.ts, loaded. */
async function scorer(code: string, options: Record<string, unknown> = {}): Promise<Runtime> {
  await write({ "scorer.ts": code });
  return open(options);
}

const REQUEST: InferRequest = {
  parameters: {},
  inputs: [{ name: "x", datatype: "FP32", shape: [3], data: Float32Array.of(1, 2, 3) }],
};

async function answer(runtime: Runtime): Promise<unknown> {
  const { outputs } = await runtime.infer(REQUEST, testCall());
  return outputs[0]?.data;
}

const returning = (output: string) =>
  `export default (request: unknown) => ({ outputs: [${output}], ...(request as object && {}) })`;

const CLASS = `
import { type Call, type Host, type InferRequest, invalid, type ModelSpec, type Tensor } from "capstan";
export default class Doubler {
  static outputs = [{ name: "y", datatype: "FP32", shape: [-1] }];
  inputs = [{ name: "x", datatype: "FP32", shape: [-1] }];
  #factor = 0;
  async load(model: ModelSpec, options: { factor?: number }, host: Host, call: Call) {
    this.#factor = options.factor ?? 2;
    await host; call.signal.throwIfAborted();
  }
  async predict({ inputs: [x] }: { inputs: Tensor[] }, call: Call) {
    if (x!.shape.length !== 1) throw invalid("Input 'x' must have one dimension");
    return { outputs: [{ name: "y", shape: x!.shape, data: Array.from(x!.data as Float32Array, (v) => v * this.#factor) }] };
  }
}`;

describe("the contract of runtimes", () => {
  const bad = { ...REQUEST, inputs: [{ ...REQUEST.inputs[0]!, shape: [1, 3] }] };
  const cases = runtimeContract(module, {
    options: { module: "./scorer.ts" },
    model: async () => {
      await write({ "scorer.ts": CLASS });
      return spec();
    },
    request: () => REQUEST,
    badRequest: () => bad,
    missing: () => spec({ folder: join(folder, "missing") }),
  });
  // All keys but two belong to the user's code, which has a schema of its own or takes any.
  for (const { name, run } of cases.filter((each) => each.name !== "refuses an unknown option by name"))
    it(name, run);
});

describe("what may be exported", () => {
  it("takes a class, its options and its signature", async () => {
    await using runtime = await scorer(CLASS, { factor: 3 });
    expect(await answer(runtime)).toEqual(Float32Array.of(3, 6, 9));
    expect(runtime.inputs).toEqual([{ name: "x", datatype: "FP32", shape: [-1] }]);
    expect(runtime.outputs).toEqual([{ name: "y", datatype: "FP32", shape: [-1] }]);
    expect(runtime.ready?.()).toBe(true);
  });

  it("takes a named class with infer, as MLServer's my_module.MyModel", async () => {
    const code = `export class MyModel { infer() { return { outputs: [{ name: "y", data: [1n] }] } } }`;
    await using runtime = await scorer(code, { export: "MyModel" });
    expect(await answer(runtime)).toEqual(BigInt64Array.of(1n));
  });

  it("takes a function, and the signature beside it", async () => {
    const code = `
      export const inputs = [{ name: "x", datatype: "FP32", shape: [3] }];
      let loaded = "";
      export function load(model: { name: string }) { loaded = model.name }
      export default function score() { return { outputs: [{ name: "y", data: [loaded] }] } }`;
    await using runtime = await scorer(code);
    expect(await answer(runtime)).toEqual([Buffer.from("scorer")]);
    expect(runtime.inputs).toEqual([{ name: "x", datatype: "FP32", shape: [3] }]);
  });

  it("takes an object", async () => {
    await using runtime = await scorer(
      "export default { n: 4, predict() { return { outputs: [{ name: 'y', data: [this.n] }] } } }",
    );
    expect(await answer(runtime)).toEqual(Float64Array.of(4));
  });

  it("takes a plugin made with defineRuntime, with the options of its own schema", async () => {
    const code = `
      import { defineRuntime } from "capstan";
      import { z } from "zod";
      export default defineRuntime({
        name: "constant",
        options: z.strictObject({ value: z.number().default(7) }),
        async load(model, { value }) {
          return {
            platform: "constant_" + model.version,
            infer: async () => ({ outputs: [{ name: "y", datatype: "FP32", shape: [1], data: Float32Array.of(value) }] }),
            async [Symbol.asyncDispose]() {},
          };
        },
      });`;
    await using runtime = await scorer(code);
    expect(await answer(runtime)).toEqual(Float32Array.of(7));
    expect(runtime.platform).toBe("constant_1");
    await expect(open({ valeu: 1 })).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(/^scorer\.ts: parameters\.extra: .*valeu/),
    });
  });

  it("checks the options of a class that has a schema", async () => {
    const code = `
      import { z } from "zod";
      export default class A {
        static options = z.strictObject({ n: z.number() });
        data: number[];
        constructor(_model: unknown, options: { n: number }) { this.data = [options.n] }
        predict() { return { outputs: [{ name: "y", data: this.data }] } }
      }`;
    await using runtime = await scorer(code, { n: 5 });
    expect(await answer(runtime)).toEqual(Float64Array.of(5));
    await expect(open({ n: "5" })).rejects.toThrow(/parameters\.extra: n: /);
  });

  it("streams", async () => {
    const code = `export default class A {
      predict() { throw new Error("not used") }
      async *predictStream() { for (const n of [1, 2]) yield { outputs: [{ name: "y", data: [n] }] } }
    }`;
    await using runtime = await scorer(code);
    const answers = await collect(runtime.inferStream!(REQUEST, testCall()));
    expect(answers.map(({ outputs }) => outputs[0]!.data)).toEqual([Float64Array.of(1), Float64Array.of(2)]);
  });

  it.each([
    [
      "export class Other {}; export const a = 1;",
      {},
      "scorer.ts: it has no default export; it exports Other, a",
    ],
    [
      "export class Other {}",
      { export: "MyModel" },
      "scorer.ts: it has no export 'MyModel'; it exports Other",
    ],
    ["const a = 1", {}, "scorer.ts: it has no default export; it exports nothing"],
    [
      "export default class Empty { score() {} }",
      {},
      "'Empty' has score, and a model needs predict(request, call)",
    ],
    ["export default 4", {}, "'default' is 4, and a model needs predict(request, call)"],
    [
      "export default class A { load() { return false } predict() {} }",
      {},
      "scorer.ts: load() returned false",
    ],
    ["export default class A { inputs = 'x'; predict() {} }", {}, "'inputs' must be a list"],
    [
      `export default class A { outputs = [{ name: "y", datatype: "FLOAT", shape: [1] }]; predict() {} }`,
      {},
      "FLOAT",
    ],
  ])("refuses %s", async (code, options, message) => {
    await expect(scorer(code, options)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringContaining(message),
    });
  });
});

describe("the signature in model-settings.json", () => {
  const inputs = [{ name: "x", datatype: "FP32", shape: [-1], optional: true }] as const;

  it("is used where the code has none, and adds to the code's", async () => {
    await write({ "scorer.ts": returning(`{ name: "y", data: [1] }`) });
    await using plain = await open({}, spec({ inputs }));
    expect(plain.inputs).toEqual(inputs);
    await write({ "scorer.ts": CLASS });
    await using declared = await open({}, spec({ inputs }));
    expect(declared.inputs).toEqual(inputs);
  });

  it("must fit the code's", async () => {
    await write({ "scorer.ts": CLASS });
    await expect(open({}, spec({ inputs: [{ ...inputs[0], datatype: "INT8" }] }))).rejects.toThrow(
      "the code says FP32",
    );
    await expect(open({}, spec({ inputs: [{ ...inputs[0], name: "z" }] }))).rejects.toThrow(
      "does not declare it",
    );
  });
});

describe("answers", () => {
  it.each([
    [`{ name: "y", datatype: "INT8", data: [[1, 2], [3, 4]] }`, [2, 2], Int8Array.of(1, 2, 3, 4)],
    [`{ name: "y", datatype: "INT64", data: [1, 2n] }`, [2], BigInt64Array.of(1n, 2n)],
    [`{ name: "y", data: Float32Array.of(1), shape: [1, 1] }`, [1, 1], Float32Array.of(1)],
    [`{ name: "y", data: [true, false] }`, [2], Uint8Array.of(1, 0)],
    [`{ name: "y", data: ["é"] }`, [1], [Buffer.from("é")]],
    [`{ name: "y", data: [Uint8Array.of(255)] }`, [1], [Uint8Array.of(255)]],
    [`{ name: "y", datatype: "FP16", data: [1, -2] }`, [2], Uint16Array.of(0x3c00, 0xc000)],
    [
      `{ name: "y", datatype: "BF16", data: [1, NaN, 1.00390625] }`,
      [3],
      Uint16Array.of(0x3f80, 0x7fc0, 0x3f80),
    ],
    [`{ name: "y", datatype: "BF16", data: Uint16Array.of(9) }`, [1], Uint16Array.of(9)],
    [`{ name: "y", data: [] }`, [0], new Float64Array()],
  ])("takes %s", async (output, shape, data) => {
    await using runtime = await scorer(returning(output));
    const { outputs } = await runtime.infer(REQUEST, testCall());
    expect(outputs[0]).toMatchObject({ name: "y", shape });
    expect(outputs[0]!.data).toEqual(data);
  });

  it.each([
    ["{}", `one is {}`],
    [`{ name: "y", data: 3 }`, "data is 3, not a list"],
    [`{ name: "y", data: [[1], [2, 3]] }`, "not all of the same length"],
    [`{ name: "y", shape: [2], data: [1] }`, "has 1 elements, and its shape [2] has 2"],
    [`{ name: "y", datatype: "UINT8", data: [1, 300] }`, "element 1 is 300, which is not UINT8"],
    [`{ name: "y", datatype: "INT64", data: [1.5] }`, "element 0 is 1.5, which is not INT64"],
    [`{ name: "y", datatype: "INT64", data: [2n ** 63n] }`, "which is not INT64"],
    [`{ name: "y", datatype: "FP32", data: ["1"] }`, 'element 0 is "1", which is not FP32'],
    [`{ name: "y", datatype: "BOOL", data: [2] }`, "element 0 is 2, which is not BOOL"],
    [`{ name: "y", datatype: "BYTES", data: [2] }`, "element 0 is 2, which is not BYTES"],
    [`{ name: "y", datatype: "FLOAT", data: [2] }`, 'unknown datatype "FLOAT"'],
  ])("says what is wrong with %s", async (output, message) => {
    await using runtime = await scorer(returning(output));
    await expect(runtime.infer(REQUEST, testCall())).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringContaining(message),
    });
  });

  it("says what a predict() that returns nothing must return", async () => {
    await using runtime = await scorer("export default () => {}");
    await expect(answer(runtime)).rejects.toThrow("predict() must return { outputs: ");
  });

  it("refuses another datatype than the declared one", async () => {
    const code = CLASS.replace(`name: "y", shape: x!.shape`, `name: "y", datatype: "FP64", shape: x!.shape`);
    await using runtime = await scorer(code);
    await expect(answer(runtime)).rejects.toThrow("output 'y' is FP64, and it is declared as FP32");
  });
});

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
    ["TypeScript that is none", `const ok = 1;\nlet x: = 3;`, "scorer.ts:2: Unexpected token"],
    ["an import that is not there", `import "./nothing";`, "Cannot find module"],
    [
      "a type imported as a value",
      `import { InferRequest } from "capstan";\nexport default (r: InferRequest) => r;`,
      "scorer.ts:1: .*write `import type`",
    ],
    [
      "a decorator",
      `const d = (x: unknown) => x;\n@d\nexport default class A { predict() {} }`,
      "scorer.ts:2: decorators are not supported: compile",
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
