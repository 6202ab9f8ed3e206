import type { UserCode } from "../../src/contracts/index.ts";

/** What every Runnable and every graph has. */
interface Runnable {
  invoke(input: unknown, config: unknown): Promise<unknown>;
  stream(input: unknown, config: unknown): Promise<AsyncIterable<unknown>>;
}

/** A compiled graph, as far as it is looked at. */
export interface Graph {
  /** The keys of its state, and LangGraph's own. */
  readonly channels: Readonly<Record<string, unknown>>;
  /** What it remembers conversations with; true is that of the graph around it. */
  readonly checkpointer?: unknown;
  getState?(config: unknown): Promise<{ readonly values?: unknown }>;
}

export interface Application {
  stream(input: unknown, config: object): Promise<AsyncIterable<unknown>>;
  /** Of a chat model: the same with tools of the caller's, whose calls are the caller's to answer. */
  bindTools?(tools: readonly unknown[], options: object): Application;
  /** As exported, for what its first and last steps say. */
  readonly runnable: object;
  /** Absent where it is no graph. */
  readonly graph?: Graph;
}

/** What an exported function gets. */
export interface Given {
  readonly llm?: unknown;
  readonly embed?: unknown;
  /** Whether the server remembers conversations: a graph is compiled without a checkpointer then. */
  readonly memory: boolean;
  readonly config: object;
  /** As in LangChain's configuration, which LangGraph's own servers give such a function. */
  readonly configurable: object;
}

/** Names under which a module may export its application, in this order. */
const NAMES = ["default", "graph", "agent", "app", "chain", "model"];

/**
 * The application that a module exports, or that its exported function makes.
 * @param name of the export; absent: it is looked for.
 * @param given what a function gets; an application that is none cannot take a model.
 * @throws CapstanError LOAD_FAILED saying what is exported instead.
 */
export async function exportedApplication(
  code: UserCode,
  name: string | undefined,
  given: Given,
): Promise<Application> {
  const chosen = name ?? NAMES.find((each) => code.optional(each) !== undefined) ?? "default";
  const exported = code.exported(chosen);
  if (!isFunction(exported)) refuseUnused(code, chosen, given);
  const made = await (isFunction(exported) ? exported(given) : exported);
  const application = applicationOf(made);
  if (application !== undefined) return application;
  const what = isFunction(exported) ? `'${chosen}' makes` : `'${chosen}' is`;
  throw code.failed(
    `${what} ${describe(made)}; a Runnable, a graph, an agent, or a function ({ llm, embed, config }) that makes ` +
      "one is needed",
  );
}

function refuseUnused(code: UserCode, name: string, { llm, embed }: Pick<Given, "llm" | "embed">): void {
  const option = llm !== undefined ? "llm" : embed !== undefined ? "embed" : undefined;
  if (option === undefined) return;
  const advice = `export a function ({ ${option} }) => ... that makes the application`;
  throw code.failed(`${option} is set in parameters.extra, and '${name}' cannot take it: ${advice}`);
}

/** LangChain's and LangGraph's objects by their shape; an uncompiled graph is compiled. */
export function applicationOf(value: unknown): Application | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { compile, graph: inner } = value as { compile?: unknown; graph?: unknown };
  if (!isRunnable(value)) {
    return isFunction(compile) ? applicationOf((value as { compile(): unknown }).compile()) : undefined;
  }
  const graph = [value, inner].find(isGraph);
  const { bindTools } = value as { bindTools?: unknown };
  return {
    stream: (input, config) => value.stream(input, config),
    runnable: value,
    ...(graph === undefined ? {} : { graph }),
    ...(isFunction(bindTools) && {
      bindTools: (...given) => applicationOf(bindTools.call(value, ...given))!,
    }),
  };
}

function isRunnable(value: object): value is Runnable {
  return isFunction((value as Runnable).invoke) && isFunction((value as Runnable).stream);
}

function isGraph(value: unknown): value is Graph {
  if (typeof value !== "object" || value === null) return false;
  return "lg_is_pregel" in value || ("channels" in value && "nodes" in value);
}

/** Whether a graph remembers conversations itself. */
export const remembers = ({ graph }: Application): boolean =>
  typeof graph?.checkpointer === "object" && graph.checkpointer !== null;

function isFunction(value: unknown): value is (...arguments_: unknown[]) => unknown {
  return typeof value === "function";
}

function describe(value: unknown): string {
  if (typeof value !== "object" || value === null) return value === null ? "null" : `a ${typeof value}`;
  const members = Object.keys(value).slice(0, 8).join(", ") || "nothing";
  return `${value.constructor?.name ?? "an object"} with ${members}`;
}
