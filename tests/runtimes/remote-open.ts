import { expect } from "vitest";
import remote from "../../runtimes/remote/index.ts";
import {
  type Call,
  CapstanError,
  type InferRequest,
  type Runtime,
  type Tensor,
} from "../../src/contracts/index.ts";
import { testCall, testHost } from "../../src/testing/index.ts";

/** An FP32 vector named `x`. */
export const x = (...values: number[]): Tensor => ({
  name: "x",
  datatype: "FP32",
  shape: [values.length],
  data: Float32Array.from(values),
});

export const request = (...inputs: Tensor[]): InferRequest => ({ parameters: {}, inputs });

/** Loads the model `m` of a server; health checks are left out unless asked for. */
export function open(uri: string, extra: Record<string, unknown> = {}, call?: Call): Promise<Runtime> {
  const parsed = remote.options.safeParse({ remote_model: "m", health_interval: "1h", ...extra });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  const model = { name: "here", version: "1", folder: import.meta.dirname, uri };
  return remote.load(model, parsed.data, testHost(), call ?? testCall());
}

/** The CapstanError that the work ends with. */
export const failure = async (work: Promise<unknown>): Promise<CapstanError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CapstanError);
  return error as CapstanError;
};

/** Until the condition holds; the test's own time limit is the end of patience. */
export const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};
