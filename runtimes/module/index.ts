import { resolve } from "node:path";
import { z } from "zod";
import {
  type Call,
  defineRuntime,
  type Host,
  isCapstanError,
  type ModelSpec,
  type OptionsSchema,
  type Runtime,
  type RuntimePlugin,
  type UserCode,
} from "../../src/contracts/index.ts";
import { ModuleRuntime } from "./runtime.ts";
import { withSettings } from "./signature.ts";
import { type LoadArguments, type UserModel, userModel } from "./user-model.ts";

/** `module` is a path from the model's folder; all other keys are for the code itself. */
const options = z.looseObject({
  module: z.string().min(1),
  export: z.string().min(1).default("default"),
});

type ModuleOptions = z.output<typeof options>;

/**
 * A model written as code beside its model-settings.json: `"implementation": "./scorer.ts"`. The export is a
 * class (`load(model, options, host, call)`, `predict(request, call)`, `dispose()`; only `predict`, or
 * `infer`, is required), an object or a function of that form, or what `defineRuntime` returns.
 *
 * @example
 * import { type InferRequest, textOf } from "capstan";
 * export default class Lengths {
 *   inputs = [{ name: "text", datatype: "BYTES", shape: [-1] }];
 *   predict({ inputs: [text] }: InferRequest) {
 *     return { outputs: [{ name: "length", datatype: "INT32", data: textOf(text.data).map((t) => t.length) }] };
 *   }
 * }
 */
export default defineRuntime<ModuleOptions>({ name: "module", options, load });

async function load(
  model: ModelSpec,
  { module: path, export: name, ...rest }: ModuleOptions,
  host: Host,
  call: Call,
): Promise<Runtime> {
  call.signal.throwIfAborted();
  const code = await host.code(fileOf(path, model.folder), call);
  await using resources = new AsyncDisposableStack();
  resources.use(code);
  const exported = code.exported(name);
  const runtime = isPlugin(exported)
    ? await loadPlugin(exported, code, [model, rest, host, call])
    : await loadModel(exported, name, code, [model, rest, host, call]);
  resources.use(runtime);
  call.signal.throwIfAborted();
  const owned = resources.move();
  return new ModuleRuntime(model.name, runtime, code, () => owned.disposeAsync());
}

/** Paths are also written as `file:` uris, with or without the slashes. */
function fileOf(path: string, folder: string): string {
  return resolve(folder, path.replace(/^file:(\/\/)?/, ""));
}

function isPlugin(value: unknown): value is RuntimePlugin {
  return (
    typeof value === "object" &&
    value !== null &&
    (value as Partial<RuntimePlugin>).kind === "runtime" &&
    typeof (value as Partial<RuntimePlugin>).load === "function"
  );
}

async function loadPlugin(plugin: RuntimePlugin, code: UserCode, args: LoadArguments): Promise<Runtime> {
  const [model, given, host, call] = args;
  const parsed = parse(plugin.options, given, code);
  return attempt(code, "load() failed", () => plugin.load(model, parsed, host, call));
}

async function loadModel(
  exported: unknown,
  name: string,
  code: UserCode,
  [model, given, host, call]: LoadArguments,
): Promise<UserModel> {
  const schema = (exported as { options?: Partial<OptionsSchema<unknown>> }).options;
  const parsed =
    typeof schema?.safeParse === "function" ? parse(schema as OptionsSchema<unknown>, given, code) : given;
  const args: LoadArguments = [model, parsed as LoadArguments[1], host, call];
  const made = await attempt(code, "it cannot be made", () => userModel(exported, code, name, args));
  const ready = await attempt(code, "load() failed", () => made.load?.(...args));
  if (ready === false) throw code.failed("load() returned false");
  return withSettings(model, made, code);
}

function parse(schema: OptionsSchema<unknown>, given: unknown, code: UserCode): unknown {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) =>
    [path.join("."), message].filter(Boolean).join(": "),
  );
  throw code.failed(`parameters.extra: ${faults.join("; ")}`);
}

/** Runs a step of the user's code; what it throws becomes LOAD_FAILED with the line that threw. */
async function attempt<T>(code: UserCode, what: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    if (isCapstanError(cause)) throw cause;
    const { file, message } = code.blame(cause);
    throw code.failed(`${what}: ${message}`, file, cause);
  }
}
