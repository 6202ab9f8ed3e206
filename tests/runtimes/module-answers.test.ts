import { describe, expect, it } from "vitest";
import { testCall } from "../../src/testing/index.ts";
import { answer, CLASS, REQUEST, returning, scorer } from "../support/user-module.ts";

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
