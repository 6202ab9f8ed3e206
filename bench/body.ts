import type { Scenario } from "./scenarios.ts";
import { inputTensor, inputValues } from "./values.ts";

export interface HttpBody {
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** The body of a scenario over HTTP, and the headers that go with it. */
export function encodeBody(scenario: Scenario): HttpBody {
  return scenario.encoding === "binary" ? encodeBinary(scenario) : encodeJson(scenario);
}

function encodeJson(scenario: Scenario): HttpBody {
  const data = Array.from(inputValues(scenario), (value) => Number(value.toFixed(4)));
  const text = JSON.stringify({ inputs: [{ ...inputTensor(scenario), data }] });
  return { headers: { "content-type": "application/json" }, bytes: Buffer.from(text) };
}

function encodeBinary(scenario: Scenario): HttpBody {
  const raw = inputValues(scenario);
  const parameters = { binary_data_size: raw.byteLength };
  const header = Buffer.from(
    JSON.stringify({
      parameters: { binary_data_output: true },
      inputs: [{ ...inputTensor(scenario), parameters }],
    }),
  );
  const headers = {
    "content-type": "application/octet-stream",
    "inference-header-content-length": String(header.length),
  };
  return { headers, bytes: Buffer.concat([header, new Uint8Array(raw.buffer)]) };
}
