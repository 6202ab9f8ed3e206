import {
  type InferRequest,
  invalid,
  type Parameters,
  type RequestedOutput,
  type Tensor,
  type TensorSpec,
} from "../contracts/index.ts";
import { fromBase64, textElements, toBase64, withoutContentType } from "./base64.ts";
import { finder } from "./by-name.ts";
import { assembleColumns } from "./data-frame.ts";
import { isDate } from "./dates.ts";
import { shown } from "./messages.ts";

/**
 * MLServer's content types: what the elements of a tensor stand for. `np` and types that are not known
 * change nothing, as tensors are what every runtime takes.
 */

const contentType = (parameters: Parameters | undefined) => parameters?.content_type;

/** Readers of BYTES inputs by content type. */
const READERS: Readonly<Record<string, (tensor: Tensor) => Tensor>> = {
  base64: fromBase64,
  datetime: checkDates,
  str: checkText,
};

/**
 * Applies the content types of a request, from the input, else the model's metadata, else the request. A type
 * that changed the inputs is taken from their parameters, and from the request's: a model that is itself a
 * server would apply it again.
 * @throws CapstanError INVALID_ARGUMENT for elements that are not what they are said to be.
 */
export function decodeContent(request: InferRequest, specs: readonly TensorSpec[] | undefined): InferRequest {
  const whole = contentType(request.parameters);
  const inputs = readInputs(request.inputs, whole, finder(specs ?? []));
  const frame = whole === "pd" ? assembleColumns(inputs, specs) : inputs;
  if (frame === request.inputs) return request;
  const isApplied = frame !== inputs || whole === "base64";
  const parameters = isApplied ? withoutContentType(request.parameters) : request.parameters;
  return { ...request, parameters, inputs: frame };
}

/** Gives `inputs` themselves back when there was nothing to change. */
function readInputs(
  inputs: readonly Tensor[],
  whole: unknown,
  specOf: (name: string) => TensorSpec | undefined,
): readonly Tensor[] {
  let read: Tensor[] | undefined;
  for (let i = 0; i < inputs.length; i++) {
    const tensor = inputs[i]!;
    if (tensor.datatype !== "BYTES") continue;
    const type = contentType(tensor.parameters) ?? contentType(specOf(tensor.name)?.parameters) ?? whole;
    if (typeof type !== "string" || !Object.hasOwn(READERS, type)) continue;
    const changed = READERS[type]!(tensor);
    if (changed === tensor) continue;
    read ??= [...inputs];
    read[i] = changed;
  }
  return read ?? inputs;
}

function checkDates(tensor: Tensor): Tensor {
  for (const [index, text] of textElements(tensor).entries()) {
    if (isDate(text)) continue;
    throw invalid(
      `Input '${tensor.name}': element ${index} is ${shown(text)}, which is not an ISO 8601 date or time`,
    );
  }
  return tensor;
}

function checkText(tensor: Tensor): Tensor {
  textElements(tensor);
  return tensor;
}

/** Writes outputs as base64 text where the request, or the model's metadata, says that is what they are. */
export function encodeContent(
  outputs: readonly Tensor[],
  request: InferRequest,
  specs: readonly TensorSpec[] | undefined,
): readonly Tensor[] {
  if (!outputs.some(({ datatype }) => datatype === "BYTES")) return outputs;
  const askedOf = finder<RequestedOutput>(request.outputs ?? []);
  const specOf = finder(specs ?? []);
  return outputs.map((output) => {
    const type =
      contentType(askedOf(output.name)?.parameters) ?? contentType(specOf(output.name)?.parameters);
    const isEncoded = contentType(output.parameters) === "base64";
    return output.datatype === "BYTES" && type === "base64" && !isEncoded ? toBase64(output) : output;
  });
}
