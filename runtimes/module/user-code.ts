import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, relative, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { CapstanError, type ModelSpec } from "../../src/contracts/index.ts";
import { blame } from "./blame.ts";
import { forgetGeneration, installHooks, newGeneration, userUrl } from "./hooks.ts";

type Namespace = Readonly<Record<string, unknown>>;

/**
 * Node's own import. It starts at a `data:` module, since a test runner that replaces `import()` leaves those
 * to Node, and it knows nothing of our hooks.
 */
async function nativeImport(url: string): Promise<Namespace> {
  const source = `export * as code from ${JSON.stringify(url)}`;
  const { code } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
  return code;
}

/**
 * One generation of a model's code: its entry file, and the files that it imports relatively, evaluated anew
 * each time. Node never unloads a module, so the old generation stays in memory (and keeps working).
 */
export class UserCode implements AsyncDisposable {
  readonly model: string;
  readonly folder: string;
  readonly entry: string;
  readonly generation: number;
  #namespace: Namespace = {};

  private constructor(model: ModelSpec, entry: string) {
    this.model = model.name;
    this.folder = model.folder;
    this.entry = entry;
    this.generation = newGeneration();
  }

  /** @throws CapstanError LOAD_FAILED with file and line. */
  static async import(model: ModelSpec, path: string): Promise<UserCode> {
    installHooks();
    const code = new UserCode(model, resolve(model.folder, path.replace(/^file:(\/\/)?/, "")));
    if (!existsSync(code.entry)) throw code.failed("there is no such file");
    forgetCommonJs(dirname(code.entry));
    try {
      code.#namespace = await nativeImport(userUrl(pathToFileURL(code.entry).href, code.generation));
      return code;
    } catch (cause) {
      const { file, message } = blame(cause, code);
      forgetGeneration(code.generation);
      throw code.failed(message, file, cause);
    }
  }

  /** @throws CapstanError LOAD_FAILED naming what is exported. */
  exported(name: string): unknown {
    if (Object.hasOwn(this.#namespace, name) && this.#namespace[name] !== undefined)
      return this.#namespace[name];
    const names = Object.keys(this.#namespace).filter((each) => each !== "module.exports");
    const what = name === "default" ? "no default export" : `no export '${name}'`;
    throw this.failed(`it has ${what}; it exports ${names.join(", ") || "nothing"}`);
  }

  /** An export that may be missing. */
  optional(name: string): unknown {
    return this.#namespace[name];
  }

  failed(what: string, file = relative(this.folder, this.entry), cause?: unknown): CapstanError {
    return new CapstanError("LOAD_FAILED", `${file}: ${what}`, { cause });
  }

  /** Calls the module's own exported `dispose`, when it has one. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { dispose } = this.#namespace;
    if (typeof dispose === "function") await dispose();
    forgetGeneration(this.generation);
  }
}

/** CommonJS files are kept by path alone: those of the model's folder are read again. */
function forgetCommonJs(folder: string): void {
  const { cache } = createRequire(import.meta.url);
  for (const file of Object.keys(cache)) {
    const ours =
      file.startsWith(folder + sep) && !file.slice(folder.length).includes(`${sep}node_modules${sep}`);
    if (ours) delete cache[file];
  }
}
