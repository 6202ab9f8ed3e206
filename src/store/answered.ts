import { CapstanError } from "../contracts/index.ts";

/**
 * What a database was asked for.
 * @param message says what cannot be had when it does not answer.
 * @throws CapstanError NOT_READY then; one that the asking itself throws stays as it is.
 */
export async function answered<T>(asking: Promise<T>, message: string): Promise<T> {
  try {
    return await asking;
  } catch (cause) {
    if (cause instanceof CapstanError) throw cause;
    throw new CapstanError("NOT_READY", message, { cause });
  }
}
