import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseEnv } from "node:util";
import { z } from "zod";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";

export const LANGGRAPH_JSON = "langgraph.json";

/** LangGraph's own tools read more of it than we do. */
const schema = z.looseObject({
  graphs: z.record(z.string(), z.union([z.string(), z.looseObject({ path: z.string() })])),
  env: z.union([z.string(), z.record(z.string(), z.coerce.string())]).optional(),
});

export interface GraphEntry {
  /** `path:export`, the path from the file's folder. */
  readonly reference: string;
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * The graph that a `langgraph.json` names.
 * @param wanted its name; may be absent where there is one.
 * @throws CapstanError LOAD_FAILED naming the graphs that there are.
 */
export async function readGraph(
  model: ModelSpec,
  file: string,
  wanted: string | undefined,
): Promise<GraphEntry> {
  const { graphs, env = {} } = parsed(model, file, await readFile(file, "utf8"));
  const names = Object.keys(graphs);
  const [first, ...others] = names;
  if (first === undefined) throw failed(model, `${LANGGRAPH_JSON} has no graphs`);
  if (wanted === undefined && others.length > 0) {
    const advice = "set graph in parameters.extra to one of them; each is a model of its own";
    throw failed(model, `${LANGGRAPH_JSON} has the graphs ${names.join(", ")}: ${advice}`);
  }
  const name = wanted ?? first;
  if (!Object.hasOwn(graphs, name))
    throw failed(model, `${LANGGRAPH_JSON} has no graph '${name}'; it has ${names.join(", ")}`);
  const graph = graphs[name]!;
  const environment = typeof env === "string" ? await readEnvironment(model, file, env) : env;
  return { reference: typeof graph === "string" ? graph : graph.path, environment };
}

function parsed(model: ModelSpec, file: string, text: string): z.output<typeof schema> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw failed(model, `${file}: ${why}`, cause);
  }
}

async function readEnvironment(
  model: ModelSpec,
  file: string,
  name: string,
): Promise<Record<string, string>> {
  const path = resolve(dirname(file), name);
  const text = await readFile(path, "utf8").catch((cause: Error) => {
    throw failed(model, `env of ${LANGGRAPH_JSON}: cannot read ${path}: ${cause.message}`, cause);
  });
  return parseEnv(text) as Record<string, string>;
}
