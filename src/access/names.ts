import { invalid } from "../contracts/index.ts";

const LONGEST = 256;
const CONTROL = /\p{Cc}/u;

/** Whether every database stores a text as it is (Postgres takes no NUL), and a line of a table shows it. */
export function isName(text: string): boolean {
  return text.length <= LONGEST && !CONTROL.test(text) && text.isWellFormed();
}

/** @throws CapstanError INVALID_ARGUMENT for a text that is no name. */
export function checkName(param: string, text: string): void {
  if (isName(text)) return;
  throw invalid(`'${param}' may have at most ${LONGEST} characters, and no control characters`, { param });
}
