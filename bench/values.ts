import type { Scenario } from "./scenarios.ts";

/** The same numbers in every run, with four decimals as measured values have. */
export function inputValues({ rows, columns }: Scenario): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => ((i * 7919) % 80_000) / 10_000);
}

/** What describes the one input of every scenario. */
export function inputTensor({ rows, columns }: Scenario) {
  return { name: "X", datatype: "FP32", shape: [rows, columns] };
}
