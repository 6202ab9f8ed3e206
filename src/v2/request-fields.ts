import {
  CapstanError,
  DATATYPE_BYTES,
  type Datatype,
  elementCount,
  invalid,
  isDatatype,
  type Parameters,
  type RequestedOutput,
} from "../contracts/index.ts";
import { findTwice } from "./by-name.ts";
import { UNSAFE_INTEGER } from "./fills.ts";
import { asObject } from "./json.ts";
import { shown } from "./messages.ts";

const HIGHEST_RANK = 32;
const LONGEST_ID = 1024;
const NO_PARAMETERS: Parameters = Object.freeze({});

/** A field that is null counts as absent. */
export function readId(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string" && value.length <= LONGEST_ID) return value;
  throw invalid(`'id' must be a string of at most ${LONGEST_ID} characters, not ${shown(value)}`);
}

export function readName(value: unknown, where: string): string {
  if (typeof value !== "string") throw invalid(`${where}: 'name' must be a string, not ${shown(value)}`);
  if (value === "" || value.length > 1024) throw invalid(`${where}: 'name' must have 1 to 1024 characters`);
  return value;
}

export function readDatatype(value: unknown, where: string): Datatype {
  if (isDatatype(value)) return value;
  throw invalid(`${where}: datatype ${shown(value)} is not one of ${Object.keys(DATATYPE_BYTES).join(", ")}`);
}

/** @throws CapstanError INVALID_ARGUMENT when two inputs, or two outputs, have one name. */
export function refuseTwice(items: readonly { readonly name: string }[], kind: string): void {
  const name = findTwice(items);
  if (name !== undefined) throw invalid(`${kind} '${name}' is given twice`);
}

/** A shape whose product is an exact integer. */
export function readShape(value: unknown, where: string): number[] {
  if (!Array.isArray(value))
    throw invalid(`${where}: 'shape' must be a list of integers, not ${shown(value)}`);
  if (value.length > HIGHEST_RANK)
    throw invalid(`${where}: shape has ${value.length} dimensions; ${HIGHEST_RANK} are allowed`);
  for (const dimension of value) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw invalid(
        `${where}: shape [${value.map(shown)}] has the dimension ${shown(dimension)}; each is an integer from 0 up`,
      );
    }
  }
  if (!Number.isSafeInteger(elementCount(value)))
    throw invalid(`${where}: shape [${value}] has more elements than can be counted`);
  return value as number[];
}

export function readOutputs(value: unknown, exact: boolean): RequestedOutput[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw invalid(`'outputs' must be a list, not ${shown(value)}`);
  return value.map((each, index) => {
    const output = asObject(each, `outputs[${index}]`);
    const name = readName(output.name, `outputs[${index}]`);
    const where = `Output '${name}'`;
    const parameters = readParameters(output.parameters, where, exact);
    checkFlag(parameters, "binary_data", where);
    refuseExtensions(parameters, where);
    return { name, parameters };
  });
}

/** A text such as "false" would count as one or the other without a word. */
export function checkFlag(parameters: Parameters, key: string, where: string): void {
  const value = parameters[key];
  if (value === undefined || typeof value === "boolean") return;
  throw invalid(`${where}: parameter '${key}' is ${shown(value)}; it must be true or false`);
}

/**
 * Parameters are scalars; what is not known is kept and tolerated.
 * @param exact whether the JSON was parsed with all digits of its integers.
 * @throws CapstanError INVALID_ARGUMENT; UNSAFE_INTEGER when digits would be lost.
 */
export function readParameters(value: unknown, where: string, exact: boolean): Parameters {
  if (value === undefined || value === null) return NO_PARAMETERS;
  const parameters = asObject(value, `${where}: 'parameters'`);
  for (const key in parameters) {
    const parameter = parameters[key];
    if (!isScalar(parameter)) {
      throw invalid(
        `${where}: parameter '${key}' is ${shown(parameter)}; it must be a string, a finite number or a boolean`,
      );
    }
    if (!exact && Number.isInteger(parameter) && !Number.isSafeInteger(parameter)) throw UNSAFE_INTEGER;
  }
  return parameters as Parameters;
}

/** Parameters of Triton's extensions that would change what an answer means if they were ignored. */
const UNSERVED: Readonly<Record<string, string>> = {
  shared_memory_region: "this server does not use shared memory; send tensors in the request itself",
  classification: "this server does not classify; ask for the output and sort it",
};

/** @throws CapstanError UNSUPPORTED */
export function refuseExtensions(parameters: Parameters, where: string): void {
  for (const key in UNSERVED) {
    if (parameters[key] === undefined) continue;
    throw new CapstanError("UNSUPPORTED", `${where}: parameter '${key}': ${UNSERVED[key]}`);
  }
}

function isScalar(value: unknown): boolean {
  return (
    typeof value === "string" ||
    typeof value === "boolean" ||
    typeof value === "bigint" ||
    Number.isFinite(value)
  );
}
