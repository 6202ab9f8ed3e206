import { isCapstanError } from "../../contracts/index.ts";
import type { Finding } from "../../settings/problems.ts";
import type { MemorySettings } from "../../settings/server.ts";
import { optionFindings } from "../options.ts";
import { loadPlugin } from "../plugins.ts";
import { type MemorySetting, noSuchMemory } from "./memories.ts";
import { storeOptions } from "./shared-store.ts";

/**
 * What is wrong with the memories of settings.json: stores that do not exist, and options they do not have.
 * @param folder where stores of somebody's own are looked for.
 */
export async function memoryFindings(
  named: Readonly<Record<string, MemorySettings>>,
  folder: string,
): Promise<Finding[]> {
  const found = await Promise.all(
    Object.entries(named).map(([name, settings]) => storeFindings(settings, ["memory", name], folder)),
  );
  return found.flat();
}

/**
 * What is wrong with the memory of one model; paths start at the memory itself.
 * @param names of the memories of settings.json; absent where those are not known.
 */
export async function modelMemoryFindings(
  memory: MemorySetting,
  names: readonly string[] | undefined,
  folder: string,
): Promise<Finding[]> {
  if (typeof memory !== "string") return storeFindings(memory, [], folder);
  if (names === undefined || names.includes(memory)) return [];
  return [{ path: [], message: noSuchMemory(memory, names), severity: "error" }];
}

async function storeFindings(
  settings: MemorySettings,
  path: readonly PropertyKey[],
  folder: string,
): Promise<Finding[]> {
  try {
    const { options } = await loadPlugin("memory", settings.store, folder);
    return optionFindings(options, storeOptions(settings)).map((finding) => ({
      ...finding,
      path: [...path, ...finding.path],
    }));
  } catch (error) {
    if (!isCapstanError(error)) throw error;
    return [{ path: [...path, "store"], message: error.message, severity: "error" }];
  }
}
