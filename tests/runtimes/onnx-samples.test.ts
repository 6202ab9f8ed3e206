import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import onnx from "../../runtimes/onnx/index.ts";
import { onnxOptions } from "../../runtimes/onnx/options.ts";
import {
  type Datatype,
  type Tensor,
  type TensorSpec,
  textOf,
  textTensor,
} from "../../src/contracts/index.ts";
import { testCall, testHost } from "../../src/testing/index.ts";

interface CaseTensor {
  readonly name: string;
  readonly shape: number[];
  readonly datatype: Datatype;
  readonly data: (number | string)[];
}

interface Cases {
  readonly signature: { readonly inputs: TensorSpec[]; readonly outputs: TensorSpec[] };
  readonly tolerance: { readonly rtol: number; readonly atol: number };
  readonly cases: { readonly name: string; readonly inputs: CaseTensor[]; readonly outputs: CaseTensor[] }[];
}

function toTensor({ name, shape, datatype, data }: CaseTensor): Tensor {
  if (datatype === "BYTES") return textTensor(name, data as string[], shape);
  return { name, datatype, shape, data: Float32Array.from(data as number[]) };
}

function plain({ datatype, data }: Tensor): (number | string)[] {
  return datatype === "BYTES" ? textOf(data as Uint8Array[]) : Array.from(data as Float32Array, Number);
}

/** numpy's allclose: |got - wanted| <= atol + rtol * |wanted|. */
function expectClose(output: Tensor, wanted: CaseTensor, { rtol, atol }: Cases["tolerance"]): void {
  expect({ ...output, data: [] }).toEqual({ ...wanted, data: [] });
  const got = plain(output);
  expect(got).toHaveLength(wanted.data.length);
  for (const [i, value] of wanted.data.entries()) {
    if (typeof value === "string") expect(got[i]).toBe(value);
    else expect(Math.abs((got[i] as number) - value)).toBeLessThanOrEqual(atol + rtol * Math.abs(value));
  }
}

describe.each(["iris", "churn", "digits"])("sample %s", (name) => {
  const folder = join(import.meta.dirname, "../../model-settings", name);
  const read = async (file: string): Promise<unknown> =>
    JSON.parse(await readFile(join(folder, file), "utf8"));
  const spec = { name, version: "1", folder, artifact: join(folder, "model.onnx") };

  it("has the settings of a folder that is served", async () => {
    const settings = { name, implementation: "onnx", parameters: { uri: "./model.onnx", version: "1" } };
    expect(await read("model-settings.json")).toMatchObject(settings);
  });

  it("answers its cases", async () => {
    const { signature, tolerance, cases } = (await read("cases.json")) as Cases;
    const options = onnxOptions.parse({});
    await using runtime = await onnx.load(spec, options, testHost(), testCall());
    expect(runtime.inputs).toEqual(signature.inputs);
    expect(runtime.outputs!.map(({ name, datatype }) => [name, datatype])).toEqual(
      signature.outputs.map(({ name, datatype }) => [name, datatype]),
    );
    expect(cases.length).toBeGreaterThan(0);
    for (const each of cases) {
      const inputs = each.inputs.map(toTensor);
      const { outputs } = await runtime.infer({ parameters: {}, inputs }, testCall());
      for (const [i, wanted] of each.outputs.entries()) expectClose(outputs[i]!, wanted, tolerance);
    }
  });
});
