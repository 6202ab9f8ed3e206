import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";

interface Held {
  readonly model: string;
  value: string;
  holders: number;
}

/** The variables that models have set here: a process has one environment. */
const held = new Map<string, Held>();

/**
 * Sets the variables that a langgraph.json asks for, until the result is disposed. One that the server was started
 * with stays as it is, as `dotenv` has it; a new generation of a model replaces its old one's.
 * @throws CapstanError LOAD_FAILED when another model has set one of them to something else.
 */
export function setEnvironment(model: ModelSpec, variables: Readonly<Record<string, string>>): Disposable {
  const own = Object.entries(variables).filter(([name]) => held.has(name) || process.env[name] === undefined);
  for (const [name, value] of own) refuseOther(model, name, value);
  for (const [name, value] of own) hold(model, name, value);
  let disposed = false;
  return {
    [Symbol.dispose]() {
      if (!disposed) for (const [name] of own) release(name);
      disposed = true;
    },
  };
}

function refuseOther(model: ModelSpec, name: string, value: string): void {
  const other = held.get(name);
  if (other === undefined || other.model === model.name || other.value === value) return;
  const text = `env: model '${other.model}' has set ${name} to another value; set "isolation": "thread" for one of them`;
  throw failed(model, text);
}

function hold({ name: model }: ModelSpec, name: string, value: string): void {
  const known = held.get(name);
  held.set(name, { model: known?.model ?? model, value, holders: (known?.holders ?? 0) + 1 });
  process.env[name] = value;
}

function release(name: string): void {
  const known = held.get(name)!;
  known.holders -= 1;
  if (known.holders > 0) return;
  held.delete(name);
  if (process.env[name] === known.value) delete process.env[name];
}
