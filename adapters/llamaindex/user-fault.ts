import { CapstanError, isCapstanError, type ModelSpec, type UserCode } from "../../src/contracts/index.ts";

/** What the user's code threw while it was loaded: LOAD_FAILED with file and line. */
export function atLoad(code: UserCode, error: unknown): unknown {
  if (isCapstanError(error)) return error;
  const { file, message } = code.blame(error);
  return code.failed(message, file, error);
}

/** What an application threw while it answered, with the place in the user's code where that is known. */
export function atRequest({ name }: ModelSpec, code: UserCode | undefined, error: unknown): unknown {
  if (isCapstanError(error)) return error;
  const { file, message } = code?.blame(error) ?? { message: (error as Error).message };
  const where = file === undefined ? "" : ` at ${file}`;
  return new CapstanError("INTERNAL", `Model '${name}' failed${where}: ${message}`, { cause: error });
}
