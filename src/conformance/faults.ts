/** Requests with exactly one fault each, made from the target's signature. */
import { sampleInputs, withInput } from "./samples.ts";
import type { Session } from "./session.ts";
import { NotApplicable } from "./types.ts";

/** What is wrong, and the request. */
export interface Fault {
  readonly what: string;
  /** JSON text, so that it may be no JSON at all. */
  readonly body: string;
}

const LARGE = 2 ** 32;

export const EMPTY_BODY: Fault = { what: "an empty body", body: "" };

/** Bodies that are no V2 request at all. */
export function malformedBodies(): Fault[] {
  return [
    { what: "cut-off JSON", body: '{"inputs": [' },
    { what: "text", body: "inputs please" },
    { what: "a number as the request", body: "1" },
    { what: "null as the request", body: "null" },
    { what: "an array as the request", body: "[]" },
    { what: "a request without inputs", body: "{}" },
    { what: "inputs that is an object", body: '{"inputs": {}}' },
    { what: "an input that is a string", body: '{"inputs": ["x"]}' },
  ];
}

function first(session: Session): { name: string; inputs: ReturnType<typeof sampleInputs> } {
  const inputs = sampleInputs(session.target);
  const name = inputs[0]?.name;
  if (name === undefined) throw new NotApplicable("the target has no required input");
  return { name, inputs };
}

/** The sample request with its first input changed. */
export function changedFirst(session: Session, what: string, change: object): Fault {
  const { name, inputs } = first(session);
  return { what, body: asJson({ inputs: withInput(inputs, name, change) }) };
}

function asJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? Number(part) : part));
}

/** Members of an input that have the wrong JSON type. */
export function wrongTypes(session: Session): Fault[] {
  return [
    changedFirst(session, "a name that is a number", { name: 1 }),
    changedFirst(session, "a shape that is a string", { shape: "1" }),
    changedFirst(session, "a shape of strings", { shape: ["one"] }),
    changedFirst(session, "a datatype that is a number", { datatype: 32 }),
    changedFirst(session, "a datatype that does not exist", { datatype: "FLOAT" }),
    changedFirst(session, "data that is an object", { data: {} }),
    changedFirst(session, "no shape", { shape: undefined }),
    changedFirst(session, "no datatype", { datatype: undefined }),
    changedFirst(session, "no data", { data: undefined }),
  ];
}

export function wrongShapes(session: Session): Fault[] {
  const { inputs } = first(session);
  const [input] = inputs;
  const { shape = [], data = [] } = input ?? {};
  const overflowing = [LARGE, LARGE, ...shape.slice(2)];
  return [
    changedFirst(session, "fewer elements than the shape", { data: data.slice(1) }),
    changedFirst(session, "more elements than the shape", { data: [...data, ...data] }),
    changedFirst(session, "a negative dimension", { shape: shape.map(() => -1) }),
    changedFirst(session, "a fractional dimension", { shape: shape.map(() => 1.5) }),
    changedFirst(session, "a shape whose product overflows 64 bits", { shape: overflowing, data: [] }),
  ];
}

/** Names and tensors that the signature does not have. */
export function wrongSignature(session: Session): Fault[] {
  const { name, inputs } = first(session);
  const [input] = inputs;
  const other = input?.datatype === "FP64" ? "INT32" : "FP64";
  const extra = { name: "no_such_input", datatype: "FP32", shape: [1], data: [1] };
  return [
    { what: "an unknown input", body: asJson({ inputs: [...inputs, extra] }) },
    { what: "a missing input", body: asJson({ inputs: inputs.filter((i) => i.name !== name) }) },
    changedFirst(session, "another datatype", { datatype: other, data: input?.data.map(() => 1) }),
    changedFirst(session, "another rank", { shape: [...(input?.shape ?? []), 1] }),
    { what: "an unknown output", body: asJson({ inputs, outputs: [{ name: "no_such_output" }] }) },
  ];
}

/** All of them. */
export function everyFault(session: Session): Fault[] {
  return [...malformedBodies(), ...wrongTypes(session), ...wrongShapes(session), ...wrongSignature(session)];
}
