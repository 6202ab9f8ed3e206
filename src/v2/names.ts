import { invalid } from "../contracts/index.ts";

const LONGEST_NAME = 256;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const FORBIDDEN = /[/\\\u0000-\u001f\u007f]|\.\./;

/**
 * A name that may stand in a path or a log: bounded, and free of `..`, slashes and control characters.
 * @param what the kind of name, for the message.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function checkModelName(name: string, what = "model"): string {
  if (name.length > LONGEST_NAME)
    throw invalid(`The ${what} name has ${name.length} characters; ${LONGEST_NAME} are allowed`);
  if (name === "" || FORBIDDEN.test(name)) {
    throw invalid(
      `${JSON.stringify(name)} is not a ${what} name: it may not be empty or hold '..', slashes or control characters`,
    );
  }
  return name;
}
