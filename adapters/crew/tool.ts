import type { Call, Log } from "../../src/contracts/index.ts";

/**
 * What `tools/<name>.ts` exports as its default.
 *
 * @example
 * import { z } from "zod";
 * const schema = z.object({ city: z.string() });
 * export default {
 *   description: "The weather of a city",
 *   schema,
 *   run: async ({ city }: z.infer<typeof schema>, { signal }: { signal: AbortSignal }) =>
 *     (await fetch(`https://weather.example/${city}`, { signal })).text(),
 * };
 */
export interface CrewTool<A = unknown> {
  /** The file's name when absent. */
  readonly name?: string;
  readonly description: string;
  /** A zod schema of the arguments, which are checked with it; or `parameters`, a JSON Schema. */
  readonly schema?: unknown;
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Anything but a text goes to the model as JSON. */
  run(args: A, context: ToolContext): unknown;
}

export interface ToolContext {
  /** Aborts when nobody waits for the crew any more. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** A tool as agents use it. */
export interface Tool {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of the arguments. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** @throws ToolFault about arguments that do not fit, or a tool that failed: the model is told. */
  run(args: unknown, call: Call): Promise<string>;
}

/** Something that a model did wrong, or that a tool could not do. It is the model's to mend. */
export class ToolFault extends Error {
  override readonly name = "ToolFault";
}

/**
 * Uses a tool as a model asked for it.
 * @param input JSON text, as the model wrote it.
 * @throws ToolFault
 */
export async function useTool(
  tools: readonly Tool[],
  name: string,
  input: string,
  call: Call,
): Promise<string> {
  const wanted = name.trim();
  const tool = tools.find((each) => each.name === wanted);
  if (tool === undefined) {
    throw new ToolFault(
      `there is no tool '${wanted}'; there is ${tools.map((each) => each.name).join(", ") || "none"}`,
    );
  }
  return tool.run(argumentsOf(input), call);
}

function argumentsOf(input: string): unknown {
  const text = unfenced(input);
  if (text === "") return {};
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ToolFault(`the input of a tool must be one JSON object: ${(error as Error).message}`);
  }
}

/** Models like to put JSON between fences. */
export function unfenced(text: string): string {
  return /^\s*```(?:json)?\s*([\s\S]*?)\s*```\s*$/.exec(text)?.[1] ?? text.trim();
}

/** Rejects with the reason as soon as the signal aborts, whatever the work does. */
export async function unlessAborted<T>(work: Promise<T>, { signal }: Call): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
