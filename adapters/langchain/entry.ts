import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";
import { LANGGRAPH_JSON, readGraph } from "./langgraph-json.ts";
import type { LangChainOptions } from "./options.ts";

/** Where an application is. */
export interface Entry {
  /** Absolute path of the module. */
  readonly file: string;
  /** Absent: the export is looked for. */
  readonly name?: string;
  /** Variables that it wants in its environment. */
  readonly environment: Readonly<Record<string, string>>;
}

const MODULES = ["ts", "mts", "js", "mjs"].map((ending) => `model.${ending}`);

/**
 * The module and export that `entry` names; else those of langgraph.json, or model.ts, in `parameters.uri` or the
 * model's folder.
 * @throws CapstanError LOAD_FAILED when there is none, or the application is Python's.
 */
export async function findEntry(model: ModelSpec, options: LangChainOptions): Promise<Entry> {
  const path = model.artifact ?? model.folder;
  const info = await stat(path).catch((cause: Error) => {
    throw failed(model, `cannot read ${path}: ${cause.message}`, cause);
  });
  const folder = info.isFile() ? dirname(path) : path;
  if (options.entry !== undefined) return moduleAt(model, folder, options.entry);
  const names = info.isFile() ? [basename(path)] : await readdir(folder);
  if (names.includes(LANGGRAPH_JSON)) {
    const { reference, environment } = await readGraph(model, join(folder, LANGGRAPH_JSON), options.graph);
    return moduleAt(model, folder, reference, environment);
  }
  if (options.graph !== undefined)
    throw failed(model, `graph is '${options.graph}', and there is no ${LANGGRAPH_JSON} in ${folder}`);
  const name = info.isFile() ? basename(path) : MODULES.find((each) => names.includes(each));
  if (name !== undefined) return moduleAt(model, folder, name);
  refusePython(
    model,
    names.find((each) => each.endsWith(".py")),
  );
  throw failed(
    model,
    `there is no ${LANGGRAPH_JSON} and no model.ts (${MODULES.slice(1).join(", ")}) in ${path}`,
  );
}

/** `path`, or `path:export`. */
function moduleAt(model: ModelSpec, folder: string, reference: string, environment = {}): Entry {
  const [, path = reference, name] = /^(.+?)(?::([\w$]+))?$/.exec(reference) ?? [];
  refusePython(model, path);
  if (!/\.[cm]?[jt]sx?$/.test(path)) {
    throw failed(
      model,
      `${path} is no module: a file in TypeScript or JavaScript is needed, as ./graph.ts:graph`,
    );
  }
  return { file: resolve(folder, path), ...(name === undefined ? {} : { name }), environment };
}

function refusePython(model: ModelSpec, file: string | undefined): void {
  if (file?.endsWith(".py") !== true) return;
  const advice =
    "rewrite it in TypeScript, or serve it from a Python server (langgraph, or FastAPI with an OpenAI-compatible " +
    "route) behind framework 'openai' or the 'remote' runtime";
  throw failed(model, `${basename(file)} is Python, which this server does not run: ${advice}`);
}
