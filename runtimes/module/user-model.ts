import type { Call, Host, InferRequest, ModelSpec, TensorSpec, UserCode } from "../../src/contracts/index.ts";

/** What a class is made with, and what its `load` gets: the order of a runtime plugin's `load`. */
export type LoadArguments = [
  model: ModelSpec,
  options: Readonly<Record<string, unknown>>,
  host: Host,
  call: Call,
];

/** The user's model, whichever form it was written in. Answers are not checked yet. */
export interface UserModel extends AsyncDisposable {
  readonly inputs?: readonly TensorSpec[];
  readonly outputs?: readonly TensorSpec[];
  infer(request: InferRequest, call: Call): unknown;
  inferStream?(request: InferRequest, call: Call): AsyncIterable<unknown>;
  load?(...args: LoadArguments): unknown;
  ready?(): boolean;
}

type Method = (...args: never[]) => unknown;
type Members = Readonly<Record<PropertyKey, unknown>>;

const PREDICT = ["infer", "predict"];
const STREAM = ["inferStream", "predictStream"];
const DISPOSE = [Symbol.asyncDispose, Symbol.dispose, "dispose"];

/**
 * An instance of an exported class, an exported object, or an exported function as the model.
 * @throws CapstanError LOAD_FAILED when it cannot predict, saying what there is.
 */
export function userModel(exported: unknown, code: UserCode, name: string, args: LoadArguments): UserModel {
  if (typeof exported !== "function") return fromMembers(exported as Members, code, name);
  if (!isClass(exported)) return fromFunction(exported as UserModel["infer"], code);
  const instance = new (exported as new (...args: LoadArguments) => Members)(...args);
  return fromMembers(instance, code, exported.name || name, exported as unknown as Members);
}

/** A class's `prototype` cannot be replaced; that of a function can, and an arrow function has none. */
function isClass(value: object): boolean {
  return Object.getOwnPropertyDescriptor(value, "prototype")?.writable === false;
}

/** Beside a function its module may export `inputs`, `outputs` and `load`. */
function fromFunction(infer: UserModel["infer"], code: UserCode): UserModel {
  const load = code.optional("load");
  return {
    inputs: code.optional("inputs") as UserModel["inputs"],
    outputs: code.optional("outputs") as UserModel["outputs"],
    ...(typeof load === "function" ? { load: load as UserModel["load"] } : {}),
    infer,
    [Symbol.asyncDispose]: async () => {},
  };
}

/** @param statics where the signature is looked for when the instance has none. */
function fromMembers(members: Members, code: UserCode, name: string, statics?: Members): UserModel {
  const method = (names: readonly PropertyKey[]) => bound(members, names);
  const infer = method(PREDICT);
  if (infer === undefined) throw code.failed(cannotPredict(members, name));
  const [stream, load, ready, dispose] = [
    method(STREAM),
    method(["load"]),
    method(["ready"]),
    method(DISPOSE),
  ];
  return {
    // Read when asked: load() may set them.
    get inputs() {
      return (members.inputs ?? statics?.inputs) as UserModel["inputs"];
    },
    get outputs() {
      return (members.outputs ?? statics?.outputs) as UserModel["outputs"];
    },
    infer: infer as UserModel["infer"],
    ...(stream ? { inferStream: stream as UserModel["inferStream"] } : {}),
    ...(load ? { load: load as UserModel["load"] } : {}),
    ...(ready ? { ready: ready as UserModel["ready"] } : {}),
    [Symbol.asyncDispose]: async () => {
      await dispose?.();
    },
  };
}

function bound(members: Members, names: readonly PropertyKey[]): Method | undefined {
  if (typeof members !== "object" || members === null) return undefined;
  const name = names.find((each) => typeof members[each] === "function");
  return name === undefined ? undefined : (members[name] as Method).bind(members);
}

function cannotPredict(members: unknown, name: string): string {
  const isObject = typeof members === "object" && members !== null;
  const own = isObject
    ? [...Object.keys(members), ...Object.getOwnPropertyNames(Object.getPrototypeOf(members))]
    : [];
  const methods = own.filter((key) => key !== "constructor" && isObject && !(key in Object.prototype));
  const has = isObject
    ? `has ${methods.join(", ") || "nothing"}`
    : `is ${JSON.stringify(members) ?? typeof members}`;
  return `'${name}' ${has}, and a model needs predict(request, call); a function or defineRuntime() will do as well`;
}
