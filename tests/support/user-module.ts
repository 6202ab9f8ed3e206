import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import module from "../../runtimes/module/index.ts";
import type { Host, InferRequest, ModelSpec, Runtime } from "../../src/contracts/index.ts";
import { UserModule } from "../../src/host/user-code/user-module.ts";
import { testCall, testHost } from "../../src/testing/index.ts";

/** The model's folder: a new one for each test of the importing file. */
export let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan-module-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Writes files of the model's folder, by their paths in it. */
export async function write(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

export const spec = (more: Partial<ModelSpec> = {}): ModelSpec => ({
  name: "scorer",
  version: "1",
  folder,
  ...more,
});

/** A host that imports code of the folder as the server does. */
export const codeHost = (): Host => testHost({ code: (file, call) => UserModule.import(folder, file, call) });

/** Loads the scorer.ts that is there. */
export function open(options: Record<string, unknown> = {}, model = spec()): Promise<Runtime> {
  const parsed = module.options.safeParse({ module: "./scorer.ts", ...options });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return module.load(model, parsed.data, codeHost(), testCall());
}

/** The code as scorer.ts, loaded. */
export async function scorer(code: string, options: Record<string, unknown> = {}): Promise<Runtime> {
  await write({ "scorer.ts": code });
  return open(options);
}

export const REQUEST: InferRequest = {
  parameters: {},
  inputs: [{ name: "x", datatype: "FP32", shape: [3], data: Float32Array.of(1, 2, 3) }],
};

/** The data of the first output. */
export async function answer(runtime: Runtime): Promise<unknown> {
  const { outputs } = await runtime.infer(REQUEST, testCall());
  return outputs[0]?.data;
}

/** Code that answers with this output. */
export const returning = (output: string) =>
  `export default (request: unknown) => ({ outputs: [${output}], ...(request as object && {}) })`;

/** A class that multiplies `x` by its option `factor`, or 2. */
export const CLASS = `
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
