import { join } from "node:path";
import { describe, expect, it } from "vitest";
import module from "../../runtimes/module/index.ts";
import { collect, runtimeContract, testCall } from "../../src/testing/index.ts";
import {
  answer,
  CLASS,
  codeHost,
  folder,
  open,
  REQUEST,
  returning,
  scorer,
  spec,
  write,
} from "../support/user-module.ts";

describe("the contract of runtimes", () => {
  const bad = { ...REQUEST, inputs: [{ ...REQUEST.inputs[0]!, shape: [1, 3] }] };
  const cases = runtimeContract(module, {
    host: codeHost(),
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
