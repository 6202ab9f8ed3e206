import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InferRequest, type Tensor, textOf, textTensor } from "../../../src/contracts/index.ts";
import { collect, testCall } from "../../../src/testing/index.ts";
import { install, open, type Peer, start } from "./peers.ts";

let peer: Peer;

beforeAll(async () => {
  await install("triton.sh");
  peer = await start("triton.sh");
}, 300_000);
afterAll(() => peer?.[Symbol.asyncDispose](), 60_000);

/** The inputs of `v2_identity`, each with its edges. In JSON, Triton reads -0 as 0. */
const VALUES: Readonly<Record<string, Pick<Tensor, "datatype" | "data">>> = {
  fp32: { datatype: "FP32", data: Float32Array.of(0.1, 1e-45) },
  uint8: { datatype: "UINT8", data: Uint8Array.of(0, 255) },
  int8: { datatype: "INT8", data: Int8Array.of(-128, 127) },
  uint16: { datatype: "UINT16", data: Uint16Array.of(0, 65535) },
  int16: { datatype: "INT16", data: Int16Array.of(-32768, 32767) },
  int32: { datatype: "INT32", data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1) },
  int64: { datatype: "INT64", data: BigInt64Array.of(-(2n ** 63n), 2n ** 53n + 1n) },
  bytes: { datatype: "BYTES", data: [Buffer.from("é"), Buffer.from("")] },
  bool: { datatype: "BOOL", data: Uint8Array.of(1, 0) },
  fp64: { datatype: "FP64", data: Float64Array.of(5e-324, 0.1) },
  uint32: { datatype: "UINT32", data: Uint32Array.of(0, 4294967295) },
  uint64: { datatype: "UINT64", data: BigUint64Array.of(1n, 2n ** 64n - 1n) },
};
const COLUMN: Tensor = { name: "in_column", datatype: "FP32", shape: [2, 1], data: Float32Array.of(1, 2) };
const ALL: InferRequest = {
  parameters: {},
  inputs: [
    ...Object.entries(VALUES).map(([name, value]) => ({ name: `in_${name}`, shape: [1, 2], ...value })),
    COLUMN,
  ],
};

const elements = ({ datatype, data }: Pick<Tensor, "datatype" | "data">): unknown[] =>
  datatype === "BYTES" ? textOf(data as Uint8Array[]) : Array.from(data as never);

const MODES = [
  ["HTTP JSON", "http", { binary: false }],
  ["HTTP binary", "http", { binary: "auto" }],
  ["gRPC", "grpc", {}],
] as const;

describe.each(MODES)("Triton over %s", (_, protocol, extra) => {
  it("gives back every datatype exactly, and its metadata", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "v2_identity", ...extra });
    expect([runtime.platform, runtime.inputs?.length, runtime.ready?.()]).toEqual(["python", 13, true]);
    const { outputs } = await runtime.infer(ALL, testCall());
    for (const [name, value] of Object.entries(VALUES)) {
      const output = outputs.find((tensor) => tensor.name === `out_${name}`)!;
      expect([output.datatype, output.shape, elements(output)]).toEqual([
        value.datatype,
        [1, 2],
        elements(value),
      ]);
    }
  });

  it("tells a request's fault from its own, and an unknown model", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "double", ...extra });
    const wrong = { parameters: {}, inputs: [{ ...COLUMN, name: "nope" }] };
    await expect(runtime.infer(wrong, testCall())).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("unexpected inference input 'nope' for model 'double'"),
    });
    await expect(open(peer[protocol], { remote_model: "nope" })).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringContaining("unknown model"),
    });
  });

  it("answers many at once, and goes on when some of them leave", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "double", ...extra });
    const calls = Array.from({ length: 32 }, async (__, index) => {
      const caller = new AbortController();
      const input: Tensor = { name: "x", datatype: "FP32", shape: [1, 1], data: Float32Array.of(index) };
      const work = runtime.infer({ parameters: {}, inputs: [input] }, testCall({ signal: caller.signal }));
      if (index % 4 === 0) caller.abort();
      const [answer] = await Promise.allSettled([work]);
      return answer.status === "fulfilled" ? (answer.value.outputs[0]!.data as Float32Array)[0] : undefined;
    });
    const expected = calls.map((__, index) => (index % 4 === 0 ? undefined : index * 2));
    expect(await Promise.all(calls)).toEqual(expected);
  });

  it("says that a decoupled model needs a stream", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "words", ...extra });
    const request = { parameters: {}, inputs: [textTensor("text_input", ["a b"])] };
    await expect(runtime.infer(request, testCall())).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});

describe.each(MODES.slice(1))("Triton over %s", (_, protocol, extra) => {
  it("gives back FP16 bit by bit, which its JSON does not have", async () => {
    await using runtime = await open(peer[protocol], { remote_model: "v2_identity_fp16", ...extra });
    const data = Uint16Array.of(0x3c00, 0x7bff, 0x0001, 0x7c00);
    const inputs: Tensor[] = [{ name: "in_fp16", datatype: "FP16", shape: [2, 2], data }];
    const { outputs } = await runtime.infer({ parameters: {}, inputs }, testCall());
    expect([outputs[0]?.datatype, outputs[0]?.data]).toEqual(["FP16", data]);
  });
});

describe("a decoupled model of Triton", () => {
  const text = "one two three four five";
  const request = { parameters: {}, inputs: [textTensor("text_input", [text])] };
  const wordOf = ({ outputs }: { outputs: readonly Tensor[] }) => textOf(outputs[0]!.data as Uint8Array[])[0];

  it("streams its answers", async () => {
    await using runtime = await open(peer.grpc, { remote_model: "words" });
    const answers = await collect(runtime.inferStream!(request, testCall()));
    expect(answers.map(wordOf)).toEqual(text.split(" "));
  });

  it("streams without an end marker of its own when asked for one", async () => {
    await using runtime = await open(peer.grpc, { remote_model: "words" });
    const asking = { ...request, parameters: { triton_enable_empty_final_response: true } };
    expect((await collect(runtime.inferStream!(asking, testCall()))).map(wordOf)).toEqual(text.split(" "));
  });

  it("may be left early, and is there for the next one", async () => {
    await using runtime = await open(peer.grpc, { remote_model: "words" });
    for await (const answer of runtime.inferStream!(request, testCall())) {
      expect(wordOf(answer)).toBe("one");
      break;
    }
    expect(await collect(runtime.inferStream!(request, testCall()))).toHaveLength(5);
  });

  it("says what is wrong within the stream", async () => {
    await using runtime = await open(peer.grpc, { remote_model: "words" });
    const wrong = { parameters: {}, inputs: [COLUMN] };
    await expect(collect(runtime.inferStream!(wrong, testCall()))).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringContaining("unexpected inference input"),
    });
  });
});
