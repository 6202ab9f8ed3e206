import { existsSync, statSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import type { ModelSettings } from "./model.ts";
import type { Finding } from "./problems.ts";

/** What an implementation string of a settings file stands for here. */
export interface Resolved {
  readonly settings?: ModelSettings;
  readonly finding?: Finding;
}

/** How the models of a Python library become ONNX, by the name of MLServer's package. */
const EXPORTS: Readonly<Record<string, string>> = {
  mlserver_sklearn: "skl2onnx.to_onnx(model, X[:1], options={'zipmap': False})",
  mlserver_xgboost:
    "onnxmltools.convert_xgboost(model, initial_types=[('input', FloatTensorType([None, n_features]))])",
  mlserver_lightgbm:
    "onnxmltools.convert_lightgbm(model, initial_types=[('input', FloatTensorType([None, n_features]))], zipmap=False)",
  mlserver_catboost: "model.save_model('model.onnx', format='onnx')",
  mlserver_mllib: "onnxmltools.convert_sparkml(model, 'model', initial_types)",
};

/** MLServer's packages that have a runtime here. */
const RUNTIMES: Readonly<Record<string, { readonly implementation: string; readonly framework?: string }>> = {
  mlserver_onnx: { implementation: "onnx" },
  mlserver_mlflow: { implementation: "mlflow" },
  mlserver_huggingface: { implementation: "llm", framework: "transformers" },
};

const DOTTED = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$/;
const MODULE_FILE = /^(\.{1,2}\/|\/|file:).*\.(ts|mts|js|mjs)$/;
const MODULE_EXTENSIONS = [".ts", ".js", ".mjs"];
const SCHEME = /^[a-z][a-z0-9+.-]+:/i;
const TWIN = "model.onnx";

/**
 * Replaces MLServer's implementation names, Python classes and module files by our runtimes. Names of our
 * own runtimes and of npm packages stay as they are.
 * @param folder the folder that relative paths of the settings start from.
 */
export function resolveImplementation(settings: ModelSettings, folder: string): Resolved {
  const name = settings.implementation;
  if (MODULE_FILE.test(name)) return { settings: asModule(settings, name, "default") };
  if (!DOTTED.test(name)) return { settings };
  const library = name.slice(0, name.indexOf("."));
  const runtime = Object.hasOwn(RUNTIMES, library) ? RUNTIMES[library] : undefined;
  if (runtime !== undefined)
    return { settings: withRuntime(settings, runtime.implementation, runtime.framework) };
  if (Object.hasOwn(EXPORTS, library)) return onnxTwin(settings, folder, EXPORTS[library]!);
  return pythonClass(settings, folder);
}

function withRuntime(settings: ModelSettings, implementation: string, framework?: string): ModelSettings {
  return withExtra({ ...settings, implementation }, framework === undefined ? {} : { framework });
}

function asModule(settings: ModelSettings, module: string, exported: string): ModelSettings {
  return withExtra({ ...settings, implementation: "module" }, { module, export: exported });
}

function withExtra(settings: ModelSettings, added: Record<string, unknown>): ModelSettings {
  const { parameters } = settings;
  return { ...settings, parameters: { ...parameters, extra: { ...parameters.extra, ...added } } };
}

function onnxTwin(settings: ModelSettings, folder: string, howTo: string): Resolved {
  const { uri } = settings.parameters;
  const found = twinOf(uri, folder);
  if (found !== undefined) {
    const parameters = { ...settings.parameters, uri: found };
    return { settings: { ...settings, implementation: "onnx", parameters } };
  }
  const message =
    `${settings.implementation} is Python and does not run here. Export the model to ${TWIN} beside its artifact, ` +
    `in Python: ${howTo}; or run it in a Python server and use the "remote" implementation`;
  return failed(message);
}

/** The ONNX file that stands for a Python artifact: itself, or `model.onnx` beside or inside it. */
function twinOf(uri: string | undefined, folder: string): string | undefined {
  if (uri !== undefined && extname(uri).toLowerCase() === ".onnx") return uri;
  if (uri !== undefined && SCHEME.test(uri) && !uri.startsWith("file:")) return undefined;
  const artifact = resolve(folder, (uri ?? ".").replace(/^file:\/\//, ""));
  const isFolder = statSync(artifact, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const twin = join(isFolder ? artifact : dirname(artifact), TWIN);
  return existsSync(twin) ? twin : undefined;
}

function pythonClass(settings: ModelSettings, folder: string): Resolved {
  const name = settings.implementation;
  const parts = name.split(".");
  const exported = parts.pop()!;
  const file = MODULE_EXTENSIONS.map((extension) => `./${parts.join("/")}${extension}`).find((path) =>
    existsSync(join(folder, path)),
  );
  if (file !== undefined) return { settings: asModule(settings, file, exported) };
  // npm has package names with dots, and none of them looks like a module and a class.
  if (!/^[A-Z]/.test(exported)) return { settings };
  const path = parts.join("/");
  const message =
    `${name} is a Python class: write it in TypeScript as the export ${exported} of ${path}.ts (or .js, .mjs) ` +
    `beside model-settings.json, or run it in a Python server and use the "remote" implementation`;
  return failed(message);
}

const failed = (message: string): Resolved => ({
  finding: { path: ["implementation"], message, severity: "error" },
});
