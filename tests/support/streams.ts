import { type InferResponse, textTensor } from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { type FakeModel, fp32, IDENTITY } from "./grpc.ts";

export const METHOD = GRPCInferenceService.ModelStreamInfer;

export const request = (
  modelName: string,
  id: string,
  parameters: inference.ModelInferRequest.Init["parameters"] = {},
) => ({
  modelName,
  id,
  parameters,
  inputs: [fp32([1])],
});

export const streaming = (inferStream: NonNullable<FakeModel["inferStream"]>): FakeModel => ({
  ...IDENTITY,
  inferStream,
});

/** The words of a request's `n`, one response each. */
export const counting = (n: number) =>
  streaming(async function* () {
    for (let index = 0; index < n; index += 1) yield { outputs: [textTensor("text_output", [`t${index}`])] };
  });

/** What a message says, in short. */
export function short({ errorMessage, inferResponse }: inference.ModelStreamInferResponse) {
  const { id, outputs, parameters } = inferResponse!;
  const text = outputs[0]?.contents?.bytesContents[0];
  const final = parameters.triton_final_response?.boolParam;
  return [id, errorMessage || (text ? Buffer.from(text).toString() : outputs.length), final];
}

/** Lets one named request after the other go on. */
export class Gates {
  readonly #gates = new Map<string, PromiseWithResolvers<void>>();

  #gate(id: string) {
    const gate = this.#gates.get(id) ?? Promise.withResolvers<void>();
    this.#gates.set(id, gate);
    return gate;
  }

  wait = (id: string) => this.#gate(id).promise;
  open = (id: string) => this.#gate(id).resolve();
}

/** Answers each request once its gate is open, and opens "started" when one has come. */
export const heldBy = (gates: Gates): FakeModel => ({
  ...IDENTITY,
  async infer({ id, inputs }) {
    gates.open("started");
    await gates.wait(id!);
    return { outputs: inputs };
  },
});

/** Rejects with the signal's reason when it aborts. */
export function aborted(signal: AbortSignal): Promise<InferResponse> {
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
  );
}
