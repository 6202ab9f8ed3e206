import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, relative, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { type Call, CapstanError, type UserCode } from "../../contracts/index.ts";
import { type Blame, blame } from "./blame.ts";
import { userCodeCounts } from "./counts.ts";
import { forgetGeneration, newGeneration, userUrl } from "./generations.ts";
import { installHooks } from "./hooks.ts";

type Namespace = Readonly<Record<string, unknown>>;

/**
 * Node's own import. It starts at a `data:` module, since a test runner that replaces `import()` leaves those
 * to Node, and it knows nothing of our hooks.
 */
export async function nativeImport(url: string): Promise<Namespace> {
  const source = `export * as code from ${JSON.stringify(url)}`;
  const { code } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
  return code;
}

/**
 * One generation of a model's code: its entry file, and the files that it imports relatively, evaluated anew
 * each time. Node never unloads a module, so the old generation stays in memory (and keeps working).
 */
export class UserModule implements UserCode {
  readonly folder: string;
  readonly entry: string;
  readonly generation: number;
  #namespace: Namespace = {};
  #disposal: Promise<void> | undefined;

  private constructor(folder: string, entry: string) {
    this.folder = folder;
    this.entry = entry;
    this.generation = newGeneration(folder);
  }

  /**
   * @param folder the model's: files are named from there.
   * @param file absolute path of the entry.
   * @throws CapstanError LOAD_FAILED with file and line.
   */
  static async import(folder: string, file: string, call: Call): Promise<UserModule> {
    call.signal.throwIfAborted();
    installHooks();
    const code = new UserModule(folder, file);
    if (!existsSync(code.entry)) throw code.failed("there is no such file");
    forgetCommonJs(dirname(code.entry));
    try {
      code.#namespace = await nativeImport(userUrl(pathToFileURL(code.entry).href, code.generation));
      userCodeCounts.changed(1);
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

  blame(error: unknown): Blame {
    return blame(error, this);
  }

  /** Calls the module's own exported `dispose`, when it has one. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    const { dispose } = this.#namespace;
    try {
      if (typeof dispose === "function") await dispose();
    } finally {
      userCodeCounts.changed(-1);
      forgetGeneration(this.generation);
    }
  }
}

/** CommonJS files are kept by path alone: those of the model's folder are read again. */
export function forgetCommonJs(folder: string): void {
  const { cache } = createRequire(import.meta.url);
  for (const file of Object.keys(cache)) {
    const ours =
      file.startsWith(folder + sep) && !file.slice(folder.length).includes(`${sep}node_modules${sep}`);
    if (ours) delete cache[file];
  }
}
