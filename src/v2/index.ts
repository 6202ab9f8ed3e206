/** The V2 / Open Inference Protocol: codecs and validation, without any transport. */
export { binaryByteLength, readTensorData, writeTensorData } from "./binary.ts";
export { decodeContent, encodeContent } from "./content-types.ts";
export { readJsonElements, UNSAFE_INTEGER } from "./elements.ts";
export { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "./float16.ts";
export { writeFloat32 } from "./float32.ts";
export { parseJson, parseJsonExactly } from "./json.ts";
export { writeElements, writeTensorHead } from "./json-tensors.ts";
export { checkModelName } from "./names.ts";
export { decodeInferRequest, decodeJsonRequest } from "./request.ts";
export { readShape } from "./request-fields.ts";
export { type EncodableResponse, type EncodedResponse, encodeInferResponse } from "./response.ts";
export { checkInputs, checkOutputs, selectOutputs } from "./validation.ts";
export { JsonWriter } from "./writer.ts";
