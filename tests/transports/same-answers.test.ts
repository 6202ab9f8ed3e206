import { readFileSync } from "node:fs";
import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  HALF_NAME,
  outputName,
  REFERENCE_NAME,
  referenceInputs,
  writeReferenceModels,
} from "../../src/conformance/reference-model.ts";
import { DATATYPE_BYTES, type Datatype, elementCount } from "../../src/contracts/index.ts";
import { identity } from "../support/onnx-graphs.ts";
import { SAMPLES, TestRepository } from "../support/server.ts";
import type { Answer, Ask } from "./asks.ts";
import { EDGES, NOT_TEXT, seen, type TestTensor, type Value } from "./tensors.ts";
import { serveTransports, type Transports } from "./transports.ts";

const DATATYPES = Object.keys(DATATYPE_BYTES) as Datatype[];
/** onnxruntime-node takes no BF16. */
const IN_ONNX = DATATYPES.filter((datatype) => datatype !== "BF16");
const SAMPLE_MODELS = ["iris", "churn", "digits"];

/** Answers with what it gets, of any datatype, under the same name. */
const ECHO = "export default { infer: ({ inputs }) => ({ outputs: inputs }) };";

let repository: TestRepository;
let transports: Transports;
beforeAll(async () => {
  repository = await TestRepository.create();
  await writeReferenceModels(repository.root);
  for (const datatype of IN_ONNX) {
    const settings = { name: modelOf(datatype), implementation: "onnx", parameters: { uri: "./model.onnx" } };
    await repository.write(modelOf(datatype), settings, identity(datatype));
  }
  await repository.write("echo", { name: "echo", implementation: "./echo.ts", parameters: { version: "4" } });
  await writeFile(repository.path("echo", "echo.ts"), ECHO);
  for (const name of SAMPLE_MODELS) await cp(join(SAMPLES, name), repository.path(name), { recursive: true });
  transports = await serveTransports(repository.root);
});
afterAll(async () => {
  await transports?.[Symbol.asyncDispose]();
  await repository?.[Symbol.asyncDispose]();
});

const modelOf = (datatype: Datatype) => `identity_${datatype.toLowerCase()}`;

/** The answers by transport, of those that have a form for every input. */
async function answers(ask: Ask): Promise<Record<string, unknown>> {
  const able = transports.all.filter(({ takes }) => ask.inputs.every(({ datatype }) => takes(datatype)));
  const given = await Promise.all(able.map(async ({ name, infer }) => [name, await infer(ask)] as const));
  return { ...Object.fromEntries(given), "gRPC stream": await transports.stream(ask) };
}

/** Fails unless every transport gives this answer. */
async function expectAnswer(ask: Ask, answer: Answer): Promise<void> {
  const given = await answers(ask);
  expect(Object.keys(given).length).toBeGreaterThanOrEqual(4);
  expect(given).toEqual(Object.fromEntries(Object.keys(given).map((name) => [name, answer])));
}

const tensor = (
  datatype: Datatype,
  shape: readonly number[],
  values = EDGES[datatype],
  name = "x",
): TestTensor => ({
  name,
  datatype,
  shape,
  data: Array.from({ length: elementCount(shape) }, (_, index) => values[index % values.length] as Value),
});

/** Extremes, one scalar, and every way to be empty. */
const SHAPES: readonly (readonly number[])[] = [[6], [2, 3], [1, 2, 3], [1], [], [0], [0, 3], [2, 0, 2]];

describe("a tensor comes back bit for bit, whatever it travels by", () => {
  it.each(IN_ONNX)("%s through ONNX", async (datatype) => {
    const model = modelOf(datatype);
    for (const shape of SHAPES) {
      const input = tensor(datatype, shape);
      await expectAnswer(
        { model, inputs: [input] },
        { model, version: "1", outputs: [seen(input, "y")], id: undefined },
      );
    }
  });

  it.each(DATATYPES)("%s through code", async (datatype) => {
    for (const shape of SHAPES) {
      const input = tensor(datatype, shape);
      await expectAnswer({ model: "echo", inputs: [input] }, echoed([input]));
    }
  });

  it("BYTES that are not text", async () => {
    const inputs = [tensor("BYTES", [6], NOT_TEXT), tensor("BYTES", [2, 3], EDGES.BYTES, "text")];
    await expectAnswer({ model: "echo", inputs }, echoed(inputs));
  });

  it("a long text, and a tensor of many elements", async () => {
    const long = Buffer.from("ünïcode ".repeat(40_000));
    const many = Float64Array.from(
      { length: 30_000 },
      (_, index) => Math.sin(index) * 10 ** ((index % 600) - 300),
    );
    const inputs = [tensor("BYTES", [1], [long]), tensor("FP64", [30_000], [...many], "numbers")];
    await expectAnswer({ model: "echo", inputs }, echoed(inputs));
  });
});

const echoed = (inputs: readonly TestTensor[], id?: string): Answer => ({
  model: "echo",
  version: "4",
  id,
  outputs: inputs.map((input) => seen(input)),
});

describe("several tensors", () => {
  const inputs = referenceInputs().map(({ name, datatype, shape }) =>
    tensor(datatype, shape[1] === 1 ? [6, 1] : [3, 2], EDGES[datatype], name),
  );
  const outputs = inputs.map((input) => seen(input, outputName(input.name)));
  const answer: Answer = { model: REFERENCE_NAME, version: "1", id: undefined, outputs };
  const ask: Ask = { model: REFERENCE_NAME, inputs };

  it("all datatypes in one request", () => expectAnswer(ask, answer));

  it("inputs in another order", () => expectAnswer({ ...ask, inputs: inputs.toReversed() }, answer));

  it("the outputs asked for, in the order asked for", async () => {
    await expectAnswer(
      { ...ask, outputs: outputs.map(({ name }) => name).toReversed() },
      { ...answer, outputs: outputs.toReversed() },
    );
    const two = [outputs[5]!, outputs[1]!];
    await expectAnswer({ ...ask, outputs: two.map(({ name }) => name) }, { ...answer, outputs: two });
  });

  it("a column given as a list", async () => {
    const listed = inputs.map((input) => (input.name === "in_column" ? { ...input, shape: [6] } : input));
    await expectAnswer({ ...ask, inputs: listed }, answer);
  });

  it("FP16, which typed contents have no field for", async () => {
    const input = tensor("FP16", [3, 2], EDGES.FP16, "in_fp16");
    const outputs = [seen(input, outputName("in_fp16"))];
    await expectAnswer({ model: HALF_NAME, inputs: [input] }, { ...answer, model: HALF_NAME, outputs });
  });
});

describe("the names around the tensors", () => {
  const inputs = [tensor("INT8", [2])];

  it.each(["7", "a request", "ünïcode ✓", "x".repeat(200)])("the id %j comes back", async (id) => {
    await expectAnswer({ model: "echo", id, inputs }, echoed(inputs, id));
  });

  it("a version may be asked for", () =>
    expectAnswer({ model: "echo", version: "4", inputs }, echoed(inputs)));

  it("parameters that mean nothing here are tolerated", async () => {
    const parameters = { sequence_id: 0, sequence_start: false, custom: "text" };
    await expectAnswer({ model: "echo", parameters, inputs }, echoed(inputs));
  });
});

interface Case {
  readonly name: string;
  readonly inputs: readonly (Omit<TestTensor, "data"> & { readonly data: unknown[] })[];
  readonly outputs: readonly { readonly name: string }[];
}

const elementOf = (value: unknown) => (typeof value === "string" ? Buffer.from(value) : (value as Value));

const sampleCases = SAMPLE_MODELS.flatMap((model) => {
  const { cases } = JSON.parse(readFileSync(join(SAMPLES, model, "cases.json"), "utf8")) as { cases: Case[] };
  return cases.map(({ name, inputs, outputs }) => ({
    model,
    name,
    inputs: inputs.map((input) => ({ ...input, data: input.data.flat(9).map(elementOf) })),
    outputs: outputs.map((output) => output.name),
  }));
});

describe("the sample models", () => {
  it.each(sampleCases)("$model: $name", async ({ model, inputs, outputs }) => {
    const given = await answers({ model, inputs });
    const [first, ...others] = Object.values(given);
    expect(others).toEqual([first, first, first, first]);
    expect((first as Answer).outputs.map(({ name }) => name)).toEqual(outputs);
  });
});
