import { invalid, type Parameters, type ParameterValue } from "../../contracts/index.ts";

/** A data frame. Without names its columns are known by their place. */
export interface Table {
  readonly kind: "table";
  readonly columns?: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** Cells are text, whatever the column's type. */
  readonly text?: boolean;
  readonly params: Parameters;
}

/** Tensors as nested lists: one, or several by name. */
export interface Arrays {
  readonly kind: "arrays";
  readonly value: unknown;
  readonly params: Parameters;
}

export type Payload = Table | Arrays;

type JsonObject = Readonly<Record<string, unknown>>;

const FORMATS = ["dataframe_split", "dataframe_records", "instances", "inputs"] as const;

/**
 * The JSON body of a request to MLflow's scoring server.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function readPayload(body: unknown): Payload {
  if (!isObject(body)) throw invalid(`The body must be a JSON object with one of ${FORMATS.join(", ")}`);
  const [format, ...others] = FORMATS.filter((each) => Object.hasOwn(body, each));
  if (format === undefined || others.length > 0) {
    const found = Object.keys(body).slice(0, 20).join(", ") || "nothing";
    throw invalid(`The body must have exactly one of ${FORMATS.join(", ")}; it has ${found}`);
  }
  const params = readParams(body.params);
  const value = body[format];
  if (format === "dataframe_split") return { ...fromSplit(value), params };
  if (format === "dataframe_records") return { ...fromRecords(value), params };
  return { kind: "arrays", value: format === "instances" ? byName(value) : value, params };
}

function fromSplit(value: unknown): Omit<Table, "params"> {
  if (!isObject(value))
    throw invalid("dataframe_split must be an object with data, and with columns and index if there are any");
  const { columns, data, index: _, ...others } = value;
  const unknown = Object.keys(others);
  if (unknown.length > 0)
    throw invalid(`dataframe_split takes data, columns and index, not ${unknown.join(", ")}`);
  if (!Array.isArray(data)) throw invalid("dataframe_split must have data, a list of rows");
  if (columns !== undefined && columns !== null && !Array.isArray(columns))
    throw invalid("dataframe_split: columns must be a list");
  const names = (columns as readonly unknown[] | undefined)?.map(String);
  const width = names?.length ?? (data[0] as unknown[] | undefined)?.length;
  for (const [index, row] of data.entries()) {
    if (Array.isArray(row) && row.length === width) continue;
    throw invalid(`dataframe_split: row ${index} is not a list of ${width} values`);
  }
  return { kind: "table", ...(names ? { columns: names } : {}), rows: data };
}

function fromRecords(value: unknown): Omit<Table, "params"> {
  if (!Array.isArray(value) || !value.every(isObject))
    throw invalid("dataframe_records must be a list of objects");
  const columns = [...new Set(value.flatMap(Object.keys))];
  const rows = value.map((record) => columns.map((column) => record[column]));
  return { kind: "table", columns, rows };
}

/** Rows of named values become a list for each name (the row format of TensorFlow Serving). */
function byName(instances: unknown): unknown {
  if (!Array.isArray(instances) || !isObject(instances[0])) return instances;
  const { columns = [], rows } = fromRecords(instances);
  for (const [index, row] of rows.entries()) {
    const missing = columns.filter((_, at) => row[at] === undefined);
    if (missing.length > 0)
      throw invalid(`instances[${index}] has no ${missing.join(", ")}, which others have`);
  }
  return Object.fromEntries(columns.map((column, at) => [column, rows.map((row) => row[at])]));
}

/** V2 parameters are scalars. */
function readParams(params: unknown): Parameters {
  if (params === undefined || params === null) return {};
  if (!isObject(params)) throw invalid("params must be an object");
  for (const [name, value] of Object.entries(params)) {
    if (["string", "number", "boolean", "bigint"].includes(typeof value)) continue;
    throw invalid(`params: '${name}' must be a string, a number or a boolean`);
  }
  return params as Readonly<Record<string, ParameterValue>>;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
