import { CapstanError, type ModelSpec } from "../../src/contracts/index.ts";

/** LOAD_FAILED with the model's name in front. */
export function failed(model: ModelSpec, what: string, cause?: unknown): CapstanError {
  return new CapstanError("LOAD_FAILED", `Model '${model.name}': ${what}`, { cause });
}
