import { AsyncLocalStorage } from "node:async_hooks";
import { syncBuiltinESMExports } from "node:module";
import { CapstanError, type Log } from "../../contracts/index.ts";
import { blame, generationIn } from "./blame.ts";
import { userCodeCounts } from "./counts.ts";
import { codeGeneration } from "./generations.ts";

/** The model whose code is running. */
export interface Owner {
  readonly model: string;
  /** Absolute; files are named from there. */
  readonly folder: string;
  readonly log: Log;
  /** Set with its first user code: a fault of a model that has none is the server's own. */
  hasCode: boolean;
}

interface Scope {
  readonly owner: Owner;
  /** Ends the request that is being answered. */
  readonly fail?: (error: CapstanError) => void;
}

const scopes = new AsyncLocalStorage<Scope>();
/** By folder, for errors that lost their context but have a stack. */
const owners = new Map<string, Owner>();

/** Runs a step of a model's code: what it throws later, in a timer or a promise, is told from the server's faults. */
export function runAs<T>(owner: Owner, work: () => T, fail?: Scope["fail"]): T {
  return scopes.run(fail === undefined ? { owner } : { owner, fail }, work);
}

/** Notes that a model has user code. */
export function owns(owner: Owner): void {
  owner.hasCode = true;
  owners.set(owner.folder, owner);
  guardProcess();
}

/**
 * Deals with an error that nobody caught: by the asynchronous context it was thrown in (Node keeps it through timers,
 * promises and callbacks), else by the innermost frame of user code in its stack. It is logged, counted, and fails
 * the request it belongs to.
 * @returns false when it is not user code's.
 */
export function dealWithStray(error: unknown): boolean {
  const scope = scopes.getStore();
  const number = generationIn(error);
  const owner = scope?.owner.hasCode ? scope.owner : owners.get(codeGeneration(number)?.folder ?? "");
  if (owner === undefined) return false;
  const { file, message } = blame(error, { folder: owner.folder, generation: number ?? 0 });
  const where = file === undefined ? "" : ` at ${file}`;
  userCodeCounts.failed(owner.model);
  owner.log.error(
    { model: owner.model, file, err: error },
    `The code of model '${owner.model}' threw outside of its answer${where}: ${message}`,
  );
  const failure = new CapstanError("INTERNAL", `Model '${owner.model}' failed${where}: ${message}`, {
    cause: error,
  });
  scope?.fail?.(failure);
  return true;
}

let guarded = false;

/** For the life of the thread: user code that was disposed may still have timers. */
function guardProcess(): void {
  if (guarded) return;
  guarded = true;
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      // Thrown on, it ends the process as it would have without us.
      if (!dealWithStray(error) && process.listenerCount(event) === 1) throw error;
    });
  }
  const exit = process.exit.bind(process);
  process.exit = (code) => {
    const owner = scopes.getStore()?.owner;
    if (!owner?.hasCode || calledByNode()) return exit(code);
    throw new CapstanError(
      "INTERNAL",
      `Model '${owner.model}' called process.exit(), which only the server may`,
    );
  };
  syncBuiltinESMExports();
}

/** Node itself ends a thread by the same function. */
function calledByNode(): boolean {
  const caller = new Error().stack?.split("\n")[3];
  return caller?.includes("(node:internal/") ?? false;
}
