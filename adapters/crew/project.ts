import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";

/** The files of a crew. */
export type Project =
  | { readonly root: string; readonly crew: string }
  | { readonly root: string; readonly agents: string; readonly tasks: string };

/**
 * CrewAI's JSON form (`crew.jsonc`, or `crew.json`), else its classic one: `config/agents.yaml` and `config/tasks.yaml`,
 * also under `src/<package>/`.
 * @throws CapstanError LOAD_FAILED when `parameters.uri`, or else the model's folder, holds neither.
 */
export async function findProject(model: ModelSpec): Promise<Project> {
  const path = model.artifact ?? model.folder;
  const info = await stat(path).catch((cause: Error) => {
    throw failed(model, `cannot read ${path}: ${cause.message}`, cause);
  });
  if (info.isFile()) return { root: dirname(path), crew: path };
  const crew = firstOf(path, ["crew.jsonc", "crew.json"]);
  if (crew !== undefined) return { root: path, crew };
  for (const root of [path, ...(await packagesOf(path))]) {
    const agents = firstOf(root, ["config/agents.yaml", "config/agents.yml"]);
    const tasks = firstOf(root, ["config/tasks.yaml", "config/tasks.yml"]);
    if (agents !== undefined && tasks !== undefined) return { root, agents, tasks };
  }
  throw failed(model, await nothing(path));
}

function firstOf(folder: string, files: readonly string[]): string | undefined {
  return files.map((file) => join(folder, file)).find(existsSync);
}

async function packagesOf(path: string): Promise<string[]> {
  const entries = await readdir(join(path, "src"), { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, "src", name));
}

async function nothing(path: string): Promise<string> {
  const python = (await readdir(path)).find((name) => name.endsWith(".py"));
  const needed = "crew.jsonc with agents/*.jsonc, or config/agents.yaml with config/tasks.yaml";
  const refused = python === undefined ? "" : `; ${python} is Python, which this server does not run`;
  return `there is no crew in ${path}: it needs ${needed}${refused}`;
}
