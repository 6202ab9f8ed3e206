import { DATATYPE_BYTES } from "../../contracts/index.ts";

/**
 * Bodies of the V2 protocol. Tensor data is checked by hand where it is decoded, for speed, so that its schema is
 * written here.
 */

const parameters = { type: "object", additionalProperties: { type: ["string", "number", "boolean"] } };

const datatype = { type: "string", enum: Object.keys(DATATYPE_BYTES) };

const tensor = {
  type: "object",
  required: ["name", "datatype", "shape"],
  properties: {
    name: { type: "string" },
    datatype,
    shape: { type: "array", items: { type: "integer", minimum: 0 } },
    data: { type: "array", items: {}, description: "Flat in row-major order, or nested as the shape says" },
    parameters,
  },
};

export const InferRequest = {
  type: "object",
  required: ["inputs"],
  properties: {
    id: { type: "string" },
    parameters,
    inputs: { type: "array", items: tensor },
    outputs: {
      type: "array",
      items: { type: "object", required: ["name"], properties: { name: { type: "string" }, parameters } },
    },
  },
};

export const IndexRequest = { type: "object", properties: { ready: { type: "boolean" } } };

export const LoadRequest = {
  type: "object",
  properties: {
    parameters: {
      type: "object",
      properties: { config: { type: "string", description: "Text of a model-settings.json override" } },
    },
  },
};

export const NotifyRequest = {
  type: "object",
  properties: { model: { type: "string" }, uri: { type: "string" } },
};

export const PinRequest = {
  type: "object",
  properties: { version: { type: "string", description: "Absent: the one that serves" } },
};
