import { type Tensor, type TensorSpec, textTensor } from "../../src/contracts/index.ts";

const TEXT = { datatype: "BYTES", shape: [-1] } as const;
const COUNT = { datatype: "INT32", shape: [-1] } as const;

/** One of the two is given: prompts, each the message of a user; or conversations as OpenAI's JSON. */
export const INPUTS: readonly TensorSpec[] = [
  { name: "text_input", ...TEXT, optional: true },
  { name: "messages", ...TEXT, optional: true },
];

export const OUTPUTS: readonly TensorSpec[] = [
  { name: "text_output", ...TEXT },
  { name: "finish_reason", ...TEXT },
  { name: "input_tokens", ...COUNT },
  { name: "output_tokens", ...COUNT },
];

/** What one element of each output says. */
export interface Row {
  readonly text_output: string;
  readonly finish_reason: string;
  readonly input_tokens: number;
  readonly output_tokens: number;
}

/** The outputs by name, one element for each row; only the text where nothing was asked for by name. */
export function outputsOf(rows: readonly Row[], asked: readonly { readonly name: string }[] = []): Tensor[] {
  const names = asked.length === 0 ? ["text_output"] : asked.map(({ name }) => name);
  const tensors: Readonly<Record<keyof Row, () => Tensor>> = {
    text_output: () => texts("text_output", rows),
    finish_reason: () => texts("finish_reason", rows),
    input_tokens: () => counts("input_tokens", rows),
    output_tokens: () => counts("output_tokens", rows),
  };
  return OUTPUTS.filter(({ name }) => names.includes(name)).map(({ name }) => tensors[name as keyof Row]());
}

function texts(name: "text_output" | "finish_reason", rows: readonly Row[]): Tensor {
  const values = rows.map((row) => row[name]);
  return textTensor(name, values);
}

function counts(name: "input_tokens" | "output_tokens", rows: readonly Row[]): Tensor {
  const values = rows.map((row) => row[name]);
  return { name, datatype: "INT32", shape: [rows.length], data: Int32Array.from(values) };
}
