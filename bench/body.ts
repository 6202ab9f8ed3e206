import type { Encoding, Scenario } from "./scenarios.ts";

export interface HttpBody {
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** The same numbers in every run, with four decimals as measured values have. */
function values({ rows, columns }: Scenario): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => ((i * 7919) % 80_000) / 10_000);
}

const ENCODERS: Record<Encoding, (scenario: Scenario) => HttpBody> = {
  json(scenario) {
    const data = Array.from(values(scenario), (value) => Number(value.toFixed(4)));
    const text = JSON.stringify({ inputs: [{ ...tensor(scenario), data }] });
    return { headers: { "content-type": "application/json" }, bytes: Buffer.from(text) };
  },

  binary(scenario) {
    const raw = values(scenario);
    const parameters = { binary_data_size: raw.byteLength };
    const header = Buffer.from(
      JSON.stringify({
        parameters: { binary_data_output: true },
        inputs: [{ ...tensor(scenario), parameters }],
      }),
    );
    const headers = {
      "content-type": "application/octet-stream",
      "inference-header-content-length": String(header.length),
    };
    return { headers, bytes: Buffer.concat([header, new Uint8Array(raw.buffer)]) };
  },
};

function tensor({ rows, columns }: Scenario) {
  return { name: "X", datatype: "FP32", shape: [rows, columns] };
}

export function encodeBody(scenario: Scenario): HttpBody {
  return ENCODERS[scenario.encoding](scenario);
}
