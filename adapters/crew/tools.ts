import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type Call, type Host, isCapstanError, type UserCode } from "../../src/contracts/index.ts";
import { isFields } from "./document.ts";
import { type CrewTool, type Tool, ToolFault, unlessAborted } from "./tool.ts";

const ENDINGS = [".ts", ".mts", ".js", ".mjs"];

interface Schema {
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly check: z.ZodType;
}

/** Imports the tools of a crew, each once. */
export class Toolbox {
  readonly #root: string;
  readonly #host: Host;
  readonly #opened: AsyncDisposableStack;
  readonly #known = new Map<string, Tool>();

  constructor(root: string, host: Host, opened: AsyncDisposableStack) {
    this.#root = root;
    this.#host = host;
    this.#opened = opened;
  }

  /** Why there is no such tool; undefined when there is its file. */
  missing(reference: string): string | undefined {
    const name = nameOf(reference);
    if (this.#file(name) !== undefined) return undefined;
    const python = /^\w+$/.test(name) && existsSync(join(this.#root, "tools", `${name}.py`));
    const reason = python
      ? `tools/${name}.py is Python, which this server does not run`
      : `there is no tool '${reference}'`;
    return `${reason}: write tools/${name}.ts`;
  }

  /** @throws CapstanError LOAD_FAILED for a module that does not load, or exports no tool. */
  async open(reference: string, call: Call): Promise<Tool> {
    const name = nameOf(reference);
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const code = this.#opened.use(await this.#host.code(this.#file(name)!, call));
    const tool = toolOf(name, code);
    this.#known.set(name, tool);
    return tool;
  }

  #file(name: string): string | undefined {
    if (!/^[\w-]+$/.test(name)) return undefined;
    return ENDINGS.map((ending) => join(this.#root, "tools", name + ending)).find(existsSync);
  }
}

/** `custom:facts` and `crewai_tools:SerperDevTool` are tools by their last part. */
const nameOf = (reference: string) => reference.split(":").at(-1)!;

function toolOf(name: string, code: UserCode): Tool {
  const exported = code.exported("default") as CrewTool;
  if (!isFields(exported) || typeof exported.run !== "function" || typeof exported.description !== "string") {
    throw code.failed(
      "its default export must be a tool: { description, schema or parameters, run(args, { signal, log }) }",
    );
  }
  const { parameters, check } = schemaOf(exported, code);
  return {
    name: exported.name ?? name,
    description: exported.description,
    parameters,
    async run(args, call) {
      const checked = check.safeParse(args);
      if (!checked.success)
        throw new ToolFault(`the arguments do not fit: ${z.prettifyError(checked.error)}`);
      return textOf(await unlessAborted(outcome(exported, checked.data, code, call), call));
    },
  };
}

function schemaOf({ schema, parameters }: CrewTool, code: UserCode): Schema {
  try {
    if (schema !== undefined) {
      const check = schema as z.ZodType;
      return { check, parameters: z.toJSONSchema(check, { io: "input", unrepresentable: "any" }) };
    }
    if (!isFields(parameters)) throw new Error("it has neither");
    return { check: z.fromJSONSchema(parameters), parameters };
  } catch (cause) {
    const text = `a tool needs 'schema' (of zod 4), or 'parameters' (a JSON Schema): ${(cause as Error).message}`;
    throw code.failed(text, undefined, cause);
  }
}

async function outcome(tool: CrewTool, args: unknown, code: UserCode, call: Call): Promise<unknown> {
  try {
    return await tool.run(args, { signal: call.signal, log: call.log });
  } catch (error) {
    call.signal.throwIfAborted();
    const { message } = isCapstanError(error) ? error : code.blame(error);
    throw new ToolFault(message);
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
