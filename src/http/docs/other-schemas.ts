/** Bodies that are read by hand, or that an upstream reads. */

export const KickoffRequest = {
  type: "object",
  properties: { inputs: { type: "object", description: "Values by the names of the application's inputs" } },
};

const table = {
  type: "object",
  properties: { columns: { type: "array", items: { type: "string" } }, data: { type: "array", items: {} } },
};

/** The four forms of MLflow's scoring protocol: exactly one is given. */
export const InvocationsRequest = {
  type: "object",
  properties: {
    dataframe_split: table,
    dataframe_records: { type: "array", items: { type: "object" } },
    instances: { type: "array", items: {} },
    inputs: { description: "A tensor as nested lists, or several by their names" },
    params: { type: "object" },
  },
};

const model = { type: "string" };
const file = { type: "string", contentMediaType: "application/octet-stream" };

export const ImageRequest = { type: "object", properties: { model, prompt: { type: "string" } } };

export const ImageEditForm = {
  type: "object",
  properties: { model, prompt: { type: "string" }, image: file },
};

export const SpeechRequest = {
  type: "object",
  properties: { model, input: { type: "string" }, voice: { type: "string" } },
};

export const AudioForm = { type: "object", properties: { model, file } };
