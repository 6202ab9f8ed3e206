import { invalid, type Parameters, type ParameterValue } from "../contracts/index.ts";
import type { inference } from "./generated/inference.js";

type Sent = inference.InferParameter.Init;

/**
 * Parameters of a request, of a tensor or of an output. Integers are numbers where that is exact, as from JSON.
 * @param where names what they belong to, for messages.
 * @throws CapstanError INVALID_ARGUMENT for one without a value.
 */
export function readParameters(
  sent: Readonly<Record<string, inference.InferParameter>>,
  where: string,
): Record<string, ParameterValue> {
  const read: Record<string, ParameterValue> = {};
  for (const name in sent) read[name] = readParameter(sent[name]!, `${where}: parameter '${name}'`);
  return read;
}

function readParameter(parameter: inference.InferParameter, where: string): ParameterValue {
  const { boolParam, int64Param, stringParam, doubleParam, uint64Param } = parameter;
  const integer = int64Param ?? uint64Param;
  if (integer !== null) return exactNumber(integer);
  const value = boolParam ?? stringParam ?? doubleParam;
  if (value === null) throw invalid(`${where} has no value`);
  return value;
}

function exactNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Parameters of an answer; undefined where there are none. */
export function writeParameters(parameters: Parameters | undefined): Record<string, Sent> | undefined {
  if (parameters === undefined) return undefined;
  const written: Record<string, Sent> = {};
  for (const name in parameters) written[name] = writeParameter(parameters[name]!);
  return written;
}

const LARGEST_INT64 = 2n ** 63n - 1n;

function writeParameter(value: ParameterValue): Sent {
  if (typeof value === "string") return { stringParam: value };
  if (typeof value === "boolean") return { boolParam: value };
  if (typeof value === "bigint")
    return value > LARGEST_INT64 ? { uint64Param: value } : { int64Param: value };
  return Number.isSafeInteger(value) ? { int64Param: value } : { doubleParam: value };
}
