import type { InferRequest, Runtime } from "../contracts/index.ts";
import { checkInputs, checkOutputs, decodeContent } from "../v2/index.ts";

/**
 * A request as a runtime takes it: content types applied, the format's own conversions made, and checked
 * against the model's signature.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function checkRequest(runtime: Runtime, request: InferRequest): InferRequest {
  const { inputs, outputs } = runtime;
  const decoded = decodeContent(request, inputs);
  const prepared = runtime.prepare === undefined ? decoded : runtime.prepare(decoded);
  const checked = checkInputs(prepared, inputs);
  checkOutputs(checked, outputs);
  return checked;
}
