import { isDatatype, type ModelSpec, type TensorSpec, type UserCode } from "../../src/contracts/index.ts";
import type { UserModel } from "./user-model.ts";

/**
 * The model with its signature settled: the code's, with what model-settings.json adds to it; the settings'
 * where the code has none.
 * @throws CapstanError LOAD_FAILED where the two do not fit, or a declaration is not a tensor's.
 */
export function withSettings(model: ModelSpec, made: UserModel, code: UserCode): UserModel {
  return {
    ...made,
    inputs: settled("inputs", made.inputs, model.inputs, code),
    outputs: settled("outputs", made.outputs, model.outputs, code),
  };
}

type Side = "inputs" | "outputs";

function settled(
  side: Side,
  declared: readonly TensorSpec[] | undefined,
  settings: readonly TensorSpec[] | undefined,
  code: UserCode,
): readonly TensorSpec[] | undefined {
  if (declared === undefined) return settings;
  check(side, declared, code);
  for (const { name, datatype } of settings ?? []) {
    const same = declared.find((spec) => spec.name === name);
    if (same?.datatype === datatype) continue;
    const has = same === undefined ? "does not declare it" : `says ${same.datatype}`;
    throw code.failed(`model-settings.json has ${datatype} '${name}' among its ${side}, and the code ${has}`);
  }
  return declared.map((spec) => ({ ...settings?.find(({ name }) => name === spec.name), ...spec }));
}

function check(side: Side, declared: unknown, code: UserCode): void {
  if (!Array.isArray(declared)) throw code.failed(`'${side}' must be a list of {name, datatype, shape}`);
  for (const spec of declared as Partial<TensorSpec>[]) {
    const shaped =
      Array.isArray(spec.shape) && spec.shape.every((size) => Number.isInteger(size) && size >= -1);
    if (typeof spec.name === "string" && isDatatype(spec.datatype) && shaped) continue;
    throw code.failed(
      `'${side}' has ${JSON.stringify(spec)}, which is not {name, datatype, shape: [.., -1 for any]}`,
    );
  }
}
