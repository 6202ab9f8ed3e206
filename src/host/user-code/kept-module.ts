import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { blame } from "./blame.ts";
import { codeGeneration, forgetGeneration, newGeneration, revisionOf, userUrl } from "./generations.ts";
import { installHooks } from "./hooks.ts";
import { forgetCommonJs, nativeImport } from "./user-module.ts";

/** By address: the generation in use. */
const kept = new Map<string, number>();

/**
 * A user's module that stays, such as a plugin: any TypeScript, as the code of a model.
 * @param url of a file.
 * @throws Error whose message begins with the file and line.
 */
export async function importKept(url: string): Promise<Readonly<Record<string, unknown>>> {
  installHooks();
  const file = fileURLToPath(url);
  const folder = dirname(file);
  const generation = newGeneration(folder);
  forgetCommonJs(folder);
  try {
    const namespace = await nativeImport(userUrl(url, generation));
    kept.set(url, generation);
    return namespace;
  } catch (cause) {
    const { file: place = relative(folder, file), message } = blame(cause, { folder, generation });
    forgetGeneration(generation);
    throw new Error(`${place}: ${message}`, { cause });
  }
}

/** Whether a file has changed since a module was imported that is kept: its own, or one that it imports relatively. */
export function keptHasChanged(url: string): boolean {
  const files = codeGeneration(kept.get(url))?.files ?? new Map<string, string>();
  return [...files].some(([path, revision]) => revisionOf(path) !== revision);
}
