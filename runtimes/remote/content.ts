import type { InferRequest, Tensor, TensorSpec } from "../../src/contracts/index.ts";

/**
 * The host has decoded inputs of the content type `base64`. Servers with the binary tensor extension take
 * bytes as they are; to MLServer, which decodes base64 itself, they go as the caller wrote them.
 */
const BASE64 = "base64";

const typeOf = ({ parameters }: Pick<InferRequest, "parameters"> | Tensor | TensorSpec) =>
  parameters?.content_type;

/** Names the content type on each input that is base64 because its metadata or the request says so. */
export function nameContent(request: InferRequest, specs: readonly TensorSpec[] | undefined): InferRequest {
  const whole = typeOf(request);
  const isImplied = (tensor: Tensor): boolean => {
    if (tensor.datatype !== "BYTES" || typeOf(tensor) !== undefined) return false;
    const spec = specs?.find(({ name }) => name === tensor.name);
    return ((spec && typeOf(spec)) ?? whole) === BASE64;
  };
  if (!request.inputs.some(isImplied)) return request;
  const inputs = request.inputs.map((tensor) => (isImplied(tensor) ? named(tensor) : tensor));
  return { ...request, inputs };
}

const named = (tensor: Tensor): Tensor => ({
  ...tensor,
  parameters: { ...tensor.parameters, content_type: BASE64 },
});

const isBase64 = (tensor: Tensor): boolean => tensor.datatype === "BYTES" && typeOf(tensor) === BASE64;

/** Whether what the other server understands makes a difference to this request. */
export function hasBase64({ inputs }: InferRequest): boolean {
  return inputs.some(isBase64);
}

/** The request as base64 text, or with bytes alone for a server that takes those. */
export function encodeContent(request: InferRequest, takesBytes: boolean): InferRequest {
  if (!hasBase64(request)) return request;
  const encodeTensor = takesBytes ? withoutType : asText;
  const inputs = request.inputs.map((tensor) => (isBase64(tensor) ? encodeTensor(tensor) : tensor));
  return { ...request, inputs };
}

function asText(tensor: Tensor): Tensor {
  const data = (tensor.data as Uint8Array[]).map((bytes) => {
    return Buffer.from(Buffer.from(bytes).toString("base64"));
  });
  return { ...tensor, data };
}

function withoutType(tensor: Tensor): Tensor {
  const { content_type: _, ...parameters } = tensor.parameters ?? {};
  return { ...tensor, parameters };
}
