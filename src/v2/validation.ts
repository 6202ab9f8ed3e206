import { type InferRequest, invalid, type Tensor, type TensorSpec } from "../contracts/index.ts";
import { finder, findTwice } from "./by-name.ts";
import { shownNames } from "./messages.ts";

/**
 * Checks a request's inputs against the model's: names, datatypes, ranks and fixed dimensions. Where the
 * model says `[N,1]`, `[N]` is accepted. Gives the request itself back when nothing had to be changed.
 * @param specs absent: the model's signature is not known, and nothing is checked.
 * @throws CapstanError INVALID_ARGUMENT naming the input and both values.
 */
export function checkInputs(request: InferRequest, specs: readonly TensorSpec[] | undefined): InferRequest {
  if (specs === undefined) return request;
  const { inputs } = request;
  const specOf = finder(specs);
  let changed: Tensor[] | undefined;
  for (let i = 0; i < inputs.length; i++) {
    const spec = specOf(inputs[i]!.name);
    if (spec === undefined)
      throw invalid(`Input '${inputs[i]!.name}' is not one of the model's: ${shownNames(specs)}`);
    const checked = checkInput(inputs[i]!, spec);
    if (checked !== inputs[i]) {
      changed ??= [...inputs];
      changed[i] = checked;
    }
  }
  checkComplete(inputs, specs);
  return changed === undefined ? request : { ...request, inputs: changed };
}

function checkInput(tensor: Tensor, spec: TensorSpec): Tensor {
  if (tensor.datatype !== spec.datatype) {
    throw invalid(
      `Input '${tensor.name}': datatype ${tensor.datatype} is given, and the model takes ${spec.datatype}`,
    );
  }
  if (fits(tensor.shape, spec.shape)) return tensor;
  const column = [...tensor.shape, 1];
  if (tensor.shape.length === 1 && spec.shape[1] === 1 && fits(column, spec.shape))
    return { ...tensor, shape: column };
  throw invalid(`Input '${tensor.name}': shape [${tensor.shape}] does not fit the model's [${spec.shape}]`);
}

function fits(shape: readonly number[], wanted: readonly number[]): boolean {
  if (shape.length !== wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) if (wanted[i]! >= 0 && wanted[i] !== shape[i]) return false;
  return true;
}

function checkComplete(inputs: readonly Tensor[], specs: readonly TensorSpec[]): void {
  const inputOf = finder(inputs);
  const missing = specs.filter((spec) => !spec.optional && inputOf(spec.name) === undefined);
  if (missing.length > 0)
    throw invalid(`The model also needs ${missing.length > 1 ? "inputs" : "input"} ${shownNames(missing)}`);
  const twice = findTwice(inputs);
  if (twice !== undefined) throw invalid(`Input '${twice}' is given twice`);
}

/**
 * Refuses outputs the model does not have, before it is run.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function checkOutputs(request: InferRequest, specs: readonly TensorSpec[] | undefined): void {
  if (request.outputs === undefined || specs === undefined) return;
  const specOf = finder(specs);
  const unknown = request.outputs.find(({ name }) => specOf(name) === undefined);
  if (unknown !== undefined)
    throw invalid(`Output '${unknown.name}' is not one of the model's: ${shownNames(specs)}`);
}

/**
 * Exactly the outputs asked for, in that order; all when none are named.
 * @throws CapstanError INVALID_ARGUMENT for one the model did not give.
 */
export function selectOutputs(outputs: readonly Tensor[], request: InferRequest): readonly Tensor[] {
  if (request.outputs === undefined || request.outputs.length === 0) return outputs;
  const outputOf = finder(outputs);
  return request.outputs.map(({ name }) => {
    const output = outputOf(name);
    if (output === undefined) throw invalid(`The model gave no output '${name}' for this request`);
    return output;
  });
}
