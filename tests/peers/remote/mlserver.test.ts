import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InferRequest, type Tensor, textTensor } from "../../../src/contracts/index.ts";
import { collect, testCall } from "../../../src/testing/index.ts";
import { install, open, type Peer, PYTHON, start } from "./peers.ts";

interface Expected {
  readonly sample: number[][];
  readonly forest: number[][];
  readonly boosted: number[];
  readonly pyfunc: { readonly score: number[]; readonly count: string[] };
}

let repository: string;
let peer: Peer;
let expected: Expected;

beforeAll(async () => {
  await install("mlserver.sh");
  repository = await mkdtemp(path.join(tmpdir(), "remote-models-"));
  await promisify(execFile)(PYTHON, [path.join(import.meta.dirname, "make-models.py"), repository]);
  expected = JSON.parse(await readFile(path.join(repository, "expected.json"), "utf8")) as Expected;
  peer = await start("mlserver.sh", repository);
}, 600_000);

afterAll(async () => {
  await peer?.[Symbol.asyncDispose]();
  await rm(repository, { recursive: true, force: true });
}, 60_000);

const matrix = (rows: readonly number[][]): Tensor => ({
  name: "x",
  datatype: "FP32",
  shape: [rows.length, rows[0]!.length],
  data: Float32Array.from(rows.flat()),
});

const frame: InferRequest = {
  parameters: {},
  inputs: [
    { name: "weight", datatype: "FP64", shape: [2, 1], data: Float64Array.of(0.5, 2) },
    { name: "count", datatype: "INT64", shape: [2, 1], data: BigInt64Array.of(10n, 2n ** 53n + 1n) },
    textTensor("name", ["x", "größer"], [2, 1]),
  ],
};

describe.each(["http", "grpc"] as const)("MLServer over %s", (protocol) => {
  it("answers for an untouched scikit-learn model, which has no metadata", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "forest" });
    expect([runtime.inputs, runtime.ready?.()]).toEqual([undefined, true]);
    const request = {
      parameters: {},
      inputs: [matrix(expected.sample)],
      outputs: [{ name: "predict_proba" }],
    };
    const { outputs } = await runtime.infer(request, testCall());
    expect(outputs).toHaveLength(1);
    expect(outputs[0]).toMatchObject({
      name: "predict_proba",
      datatype: "FP64",
      shape: [expected.sample.length, 3],
    });
    expect(Array.from(outputs[0]!.data as Float64Array)).toEqual(expected.forest.flat());
  });

  it("answers for an untouched XGBoost model", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "boosted", remote_version: "v1" });
    const { outputs } = await runtime.infer(
      { parameters: {}, inputs: [matrix(expected.sample)] },
      testCall(),
    );
    expect(Array.from(outputs[0]!.data as never, Number)).toEqual(expected.boosted);
  });

  it("answers for an untouched PyFunc model, with its signature", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "pyfunc" });
    expect(runtime.inputs?.map(({ name, datatype, shape }) => [name, datatype, shape])).toEqual([
      ["weight", "FP64", [-1, 1]],
      ["count", "INT64", [-1, 1]],
      ["name", "BYTES", [-1, 1]],
    ]);
    const { outputs } = await runtime.infer(frame, testCall());
    const [score, count] = ["score", "count"].map(
      (name) => outputs.find((output) => output.name === name)!.data,
    );
    expect(Array.from(score as Float64Array)).toEqual(expected.pyfunc.score);
    expect(Array.from(count as BigInt64Array, String)).toEqual(expected.pyfunc.count);
  });

  it("says what is wrong in the words of the server", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "forest" });
    const request = { parameters: {}, inputs: [matrix([[1, 2, 3]])] };
    await expect(runtime.infer(request, testCall())).rejects.toMatchObject({ code: "UPSTREAM" });
    await expect(open(peer[protocol], { remote_model: "nope" })).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringContaining("Model nope"),
    });
  });
});

it("reads MLServer's own form of ModelStreamInfer", async () => {
  await using runtime = await open(peer.grpc, { remote_model: "forest" });
  const request = { parameters: {}, inputs: [matrix(expected.sample)] };
  const answers = await collect(runtime.inferStream!(request, testCall()));
  expect(answers.map(({ outputs }) => outputs.map(({ name }) => name))).toEqual([["predict"]]);
});
