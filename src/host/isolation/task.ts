import type {
  ApplicationInput,
  CapLLM,
  ModelSpec,
  Parameters,
  Runtime,
  TensorSpec,
} from "../../contracts/index.ts";

/** What a thread or process is asked to load. */
export interface Task {
  readonly kind: "runtime" | "adapter";
  /** Name of the plugin. */
  readonly plugin: string;
  readonly model: ModelSpec;
  /** As written: they are parsed beside the plugin. */
  readonly options: unknown;
}

/** Methods that a language model may lack. */
export const ABILITIES = ["predictText", "embed", "tokenize", "passthrough"] as const;
export type Ability = (typeof ABILITIES)[number];

/** What was loaded, as far as a message can tell. */
export interface Described {
  readonly runtime?: DescribedRuntime;
  /** Present on a language model: what it can do besides streaming. */
  readonly abilities?: readonly Ability[];
  /** Present on a language model that is an application with named inputs. */
  readonly applicationInputs?: readonly ApplicationInput[];
}

export interface DescribedRuntime {
  readonly platform?: string;
  readonly inputs?: readonly TensorSpec[];
  readonly outputs?: readonly TensorSpec[];
  readonly parameters?: Parameters;
  /** It converts requests itself: the host needs that at once, and cannot ask for it over a line. */
  readonly prepares: boolean;
  readonly streams: boolean;
}

/** What a plugin loaded. A runtime's language model is disposed with it. */
export interface Loaded {
  readonly runtime?: Runtime;
  readonly llm?: CapLLM;
  readonly disposable: AsyncDisposable;
}

export function describe({ runtime, llm }: Loaded): Described {
  return {
    ...(runtime === undefined ? {} : { runtime: describeRuntime(runtime) }),
    ...(llm === undefined ? {} : { abilities: ABILITIES.filter((ability) => llm[ability] !== undefined) }),
    ...(llm?.inputs === undefined ? {} : { applicationInputs: llm.inputs }),
  };
}

function describeRuntime({ platform, inputs, outputs, parameters, prepare, inferStream }: Runtime) {
  return {
    ...(platform === undefined ? {} : { platform }),
    ...(inputs === undefined ? {} : { inputs }),
    ...(outputs === undefined ? {} : { outputs }),
    ...(parameters === undefined ? {} : { parameters }),
    prepares: prepare !== undefined,
    streams: inferStream !== undefined,
  };
}
