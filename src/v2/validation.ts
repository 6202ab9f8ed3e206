import { type InferRequest, invalid, type Tensor, type TensorSpec } from "../contracts/index.ts";

/**
 * Checks a request's inputs against the model's: names, datatypes, ranks and fixed dimensions. Where the
 * model says `[N,1]`, `[N]` is accepted. Gives the request itself back when nothing had to be changed.
 * @param specs absent: the model's signature is not known, and nothing is checked.
 * @throws CapstanError INVALID_ARGUMENT naming the input and both values.
 */
export function checkInputs(request: InferRequest, specs: readonly TensorSpec[] | undefined): InferRequest {
  if (specs === undefined) return request;
  const { inputs } = request;
  let changed: Tensor[] | undefined;
  for (let i = 0; i < inputs.length; i++) {
    const checked = checkInput(inputs[i]!, specs);
    if (checked !== inputs[i]) {
      changed ??= [...inputs];
      changed[i] = checked;
    }
  }
  checkComplete(inputs, specs);
  return changed === undefined ? request : { ...request, inputs: changed };
}

function checkInput(tensor: Tensor, specs: readonly TensorSpec[]): Tensor {
  const spec = specs.find(({ name }) => name === tensor.name);
  if (spec === undefined) throw invalid(`Input '${tensor.name}' is not one of the model's: ${names(specs)}`);
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
  const missing = specs.filter((spec) => !spec.optional && !inputs.some(({ name }) => name === spec.name));
  if (missing.length > 0)
    throw invalid(`The model also needs ${missing.length > 1 ? "inputs" : "input"} ${names(missing)}`);
  if (new Set(inputs.map(({ name }) => name)).size < inputs.length) throw invalid("An input is given twice");
}

const names = (specs: readonly TensorSpec[]) => specs.map(({ name }) => `'${name}'`).join(", ");

/**
 * Refuses outputs the model does not have, before it is run.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function checkOutputs(request: InferRequest, specs: readonly TensorSpec[] | undefined): void {
  if (request.outputs === undefined || specs === undefined) return;
  const unknown = request.outputs.find(({ name }) => !specs.some((spec) => spec.name === name));
  if (unknown !== undefined)
    throw invalid(`Output '${unknown.name}' is not one of the model's: ${names(specs)}`);
}

/**
 * Exactly the outputs asked for, in that order; all when none are named.
 * @throws CapstanError INVALID_ARGUMENT for one the model did not give.
 */
export function selectOutputs(outputs: readonly Tensor[], request: InferRequest): readonly Tensor[] {
  if (request.outputs === undefined || request.outputs.length === 0) return outputs;
  return request.outputs.map(({ name }) => {
    const output = outputs.find((each) => each.name === name);
    if (output === undefined) throw invalid(`The model gave no output '${name}' for this request`);
    return output;
  });
}
