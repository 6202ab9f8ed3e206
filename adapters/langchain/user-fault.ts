import { CapstanError, isCapstanError, type ModelSpec, type UserCode } from "../../src/contracts/index.ts";

/** What the user's code threw while it was loaded: LOAD_FAILED with file and line. */
export function atLoad(code: UserCode, error: unknown): unknown {
  if (isCapstanError(error)) return error;
  const { file, message } = code.blame(error);
  return code.failed(message, file, error);
}

/**
 * What an application threw while it answered: a model's own fault as it is, else INTERNAL with the place in the
 * user's code where that is known.
 * @param limit of steps, as `recursion_limit` has it.
 */
export function atRequest({ name }: ModelSpec, code: UserCode, limit: number, error: unknown): unknown {
  const inner = causes(error).find(isCapstanError);
  if (inner !== undefined) return inner;
  if (isRecursion(error)) {
    const text = `Model '${name}': the graph did not come to its end within ${limit} steps; give it an edge that ends it, or raise recursion_limit`;
    return new CapstanError("INTERNAL", text, { cause: error });
  }
  const { file, message } = code.blame(error);
  const where = file === undefined ? "" : ` at ${file}`;
  return new CapstanError("INTERNAL", `Model '${name}' failed${where}: ${message}`, { cause: error });
}

const isRecursion = (error: unknown) =>
  (error as { lc_error_code?: unknown } | null)?.lc_error_code === "GRAPH_RECURSION_LIMIT";

const DEEPEST = 8;

/** An error and those that it wraps: middleware wraps what a model threw. */
function causes(error: unknown): unknown[] {
  const found: unknown[] = [];
  for (let each = error; each instanceof Error && found.length < DEEPEST; each = each.cause) found.push(each);
  return found;
}
