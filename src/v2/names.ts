import { invalid } from "../contracts/index.ts";

const LONGEST_NAME = 256;
/** Cc: the control characters, C0 and C1. */
const FORBIDDEN = /[/\\\p{Cc}]|\.\./u;

/**
 * A name that may stand in a path or a log: bounded, and free of `..`, slashes and control characters.
 * @param what the kind of name, for the message.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function checkModelName(name: string, what = "model"): string {
  if (name.length > LONGEST_NAME)
    throw invalid(`The ${what} name has ${name.length} characters; ${LONGEST_NAME} are allowed`);
  if (name === "" || name === "." || FORBIDDEN.test(name)) {
    throw invalid(
      `${JSON.stringify(name)} is not a ${what} name: it may not be empty or '.', or hold '..', slashes or control characters`,
    );
  }
  return name;
}
