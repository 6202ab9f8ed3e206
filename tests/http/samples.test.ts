import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { InferResponse, Tensor } from "../../src/contracts/index.ts";
import { decodeJsonRequest, readTensorData, writeTensorData } from "../../src/v2/index.ts";
import { SAMPLES, serve, type TestServer } from "../support/server.ts";

interface JsonTensor {
  name: string;
  shape: number[];
  datatype: string;
  data: unknown[];
}

interface CasesFile {
  tolerance: { rtol: number; atol: number };
  cases: { name: string; inputs: JsonTensor[]; outputs: JsonTensor[] }[];
}

/** The model a sample folder serves, and its reference answers. */
const samples = ["iris", "churn", "digits"].map((name) => {
  const file = JSON.parse(readFileSync(join(SAMPLES, name, "cases.json"), "utf8")) as CasesFile;
  return { name, ...file };
});

let server: TestServer;
beforeAll(async () => {
  server = await serve(SAMPLES);
});
afterAll(() => server[Symbol.asyncDispose]());

const tensorsOf = (inputs: JsonTensor[]): readonly Tensor[] =>
  decodeJsonRequest(Buffer.from(JSON.stringify({ inputs }))).inputs;

function expectClose(
  actual: readonly Tensor[],
  expected: readonly Tensor[],
  { rtol, atol }: CasesFile["tolerance"],
) {
  expect(actual.map((tensor) => [tensor.name, tensor.datatype, tensor.shape])).toEqual(
    expected.map((tensor) => [tensor.name, tensor.datatype, tensor.shape]),
  );
  for (const [index, tensor] of expected.entries()) {
    const far = Array.from(tensor.data as ArrayLike<number | bigint>, (want, i) => {
      const got = Number(actual[index]!.data[i]);
      return Math.abs(got - Number(want)) > atol + rtol * Math.abs(Number(want))
        ? { i, got, want }
        : undefined;
    });
    expect(far.filter(Boolean)).toEqual([]);
  }
}

function binaryBody(inputs: readonly Tensor[]): { body: Buffer; headerLength: number } {
  const chunks = inputs.map((tensor) => Buffer.from(writeTensorData(tensor)));
  const header = Buffer.from(
    JSON.stringify({
      inputs: inputs.map(({ name, shape, datatype }, i) => ({
        name,
        shape,
        datatype,
        parameters: { binary_data_size: chunks[i]!.length },
      })),
      parameters: { binary_data_output: true },
    }),
  );
  return { body: Buffer.concat([header, ...chunks]), headerLength: header.length };
}

async function binaryOutputs(response: Response): Promise<InferResponse["outputs"]> {
  const body = Buffer.from(await response.arrayBuffer());
  let offset = Number(response.headers.get("inference-header-content-length"));
  const header = JSON.parse(body.subarray(0, offset).toString()) as {
    outputs: (Tensor & { parameters: { binary_data_size: number } })[];
  };
  return header.outputs.map((output) => {
    const size = output.parameters.binary_data_size;
    const bytes = body.subarray(offset, offset + size);
    offset += size;
    const count = output.shape.reduce((product, dimension) => product * dimension, 1);
    return { ...output, data: readTensorData(output.datatype, count, bytes, output.name) };
  });
}

describe.each(samples)("sample $name", ({ name, tolerance, cases }) => {
  it.each(cases)("answers case $name over JSON", async ({ inputs, outputs }) => {
    const { status, body } = await server.post(`/v2/models/${name}/infer`, { inputs });
    expect(status).toBe(200);
    expectClose(tensorsOf((body as { outputs: JsonTensor[] }).outputs), tensorsOf(outputs), tolerance);
  });

  it.each(cases)("answers case $name over binary tensors", async ({ inputs, outputs }) => {
    const { body, headerLength } = binaryBody(tensorsOf(inputs));
    const response = await server.request(`/v2/models/${name}/infer`, {
      method: "POST",
      headers: {
        "content-type": "application/octet-stream",
        "inference-header-content-length": String(headerLength),
      },
      body,
    });
    expect(response.status).toBe(200);
    expectClose(await binaryOutputs(response), tensorsOf(outputs), tolerance);
  });
});
