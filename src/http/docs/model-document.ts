import type { TensorSpec } from "../../contracts/index.ts";
import type { DataPlane, ModelMetadata } from "../../host/types.ts";
import { document, requestBody } from "./openapi.ts";

/** Elements of the largest tensor that is written out as an example. */
const LONGEST_EXAMPLE = 1024;

/**
 * The description of one model: its own signature, with a request that it can answer.
 * @throws CapstanError NOT_FOUND
 */
export function modelDocument(plane: DataPlane, name: string, root: string): Record<string, unknown> {
  const metadata = plane.modelMetadata(name);
  const speaks = plane.languageModel(name) !== undefined;
  const base = `/v2/models/${encodeURIComponent(name)}`;
  const paths = {
    [`${base}/infer`]: { post: infer(metadata) },
    ...(speaks ? textPaths(name, base) : {}),
    [base]: { get: operation("Model", "metadata", "Metadata: versions, platform, inputs, outputs") },
    [`${base}/ready`]: { get: operation("Model", "ready", "Whether the model answers") },
    [`${base}/stats`]: { get: operation("Model", "stats", "Statistics of the model") },
  };
  const title = `${name} (${metadata.platform}, version ${metadata.versions.at(-1) ?? ""})`;
  return document(plane.serverMetadata(), root, paths, title);
}

function operation(tag: string, operationId: string, summary: string) {
  const responses = { "200": { description: "The answer" } };
  return { tags: [tag], operationId, summary, responses };
}

function infer({ inputs }: ModelMetadata) {
  const schema = {
    type: "object",
    required: ["inputs"],
    properties: {
      inputs: { type: "array", items: inputs.length === 0 ? {} : { anyOf: inputs.map(inputSchema) } },
      outputs: { type: "array", items: { type: "object", properties: { name: { type: "string" } } } },
    },
  };
  return {
    ...operation("Inference", "infer", "Inference"),
    requestBody: requestBody(schema, exampleRequest(inputs)),
  };
}

function inputSchema({ name, datatype, shape }: TensorSpec) {
  const sizes = shape.map((size) => (size === -1 ? { type: "integer", minimum: 0 } : { const: size }));
  return {
    type: "object",
    title: `${name}: ${datatype} [${shape.join(", ")}]`,
    required: ["name", "datatype", "shape", "data"],
    properties: {
      name: { const: name },
      datatype: { const: datatype },
      shape: { type: "array", prefixItems: sizes, minItems: shape.length, maxItems: shape.length },
      data: { type: "array", items: { type: elementType(datatype) } },
    },
  };
}

/** What must be given, or the first input where nothing must; undefined when that is too long to show. */
function exampleRequest(inputs: readonly TensorSpec[]) {
  const required = inputs.filter(({ optional }) => optional !== true);
  const shown = required.length > 0 ? required : inputs.slice(0, 1);
  if (shown.some(({ shape }) => elements(exampleShape(shape)) > LONGEST_EXAMPLE)) return undefined;
  return { inputs: shown.map(exampleInput) };
}

const exampleShape = (shape: readonly number[]) => shape.map((size) => (size === -1 ? 1 : size));
const elements = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** One row of zeros, or of text. */
function exampleInput({ name, datatype, shape }: TensorSpec) {
  const sizes = exampleShape(shape);
  const element = datatype === "BYTES" ? "text" : datatype === "BOOL" ? false : 0;
  return { name, datatype, shape: sizes, data: new Array(elements(sizes)).fill(element) };
}

function elementType(datatype: TensorSpec["datatype"]): string {
  if (datatype === "BYTES") return "string";
  return datatype === "BOOL" ? "boolean" : "number";
}

function textPaths(name: string, base: string) {
  const generate = {
    type: "object",
    properties: { text_input: { type: "string" }, parameters: { type: "object" } },
  };
  const messages = [{ role: "user", content: "Hello" }];
  const chat = { type: "object", properties: { model: { const: name }, messages: { type: "array" } } };
  return {
    [`${base}/generate`]: {
      post: {
        ...operation("Inference", "generate", "Text in, text out"),
        requestBody: requestBody(generate, { text_input: "Hello" }),
      },
    },
    "/v1/chat/completions": {
      post: {
        ...operation("Inference", "chat", "Chat completion"),
        requestBody: requestBody(chat, { model: name, messages }),
      },
    },
  };
}
