import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { generationOf, lastFileOf, originalLine } from "./generations.ts";
import { SourceError, syntaxError } from "./transpile.ts";

export interface Blame {
  /** `file:line`, relative to the model's folder; absent where the error does not come from the user's code. */
  readonly file?: string;
  readonly message: string;
}

interface Code {
  readonly folder: string;
  readonly generation: number;
}

const FRAME = /(file:\/\/[^\s()]+?[?&]capstan-generation=\d+):(\d+)(?::(\d+))?/g;
/** What V8 and Node put before an error that has no frames in the file: `path:line`, then the line itself. */
const HEAD = /^(?!\w+:\/\/)(\/[^\n]*|[A-Za-z]:\\[^\n]*):(\d+)\n/;

const TYPE_ONLY = /does not provide an export named '(\w+)'/;
const NO_PACKAGE = /Cannot find (?:package|module) '((?:@[^/']+\/)?[^./@'][^/']*)/;

function adviceFor(message: string): string {
  if (TYPE_ONLY.test(message)) return "; if it is a type, write `import type` or `export type`";
  const missing = NO_PACKAGE.exec(message)?.[1];
  return missing === undefined ? "" : `. Beside the model or the server: npm install ${missing}`;
}

/** Where in the user's code an error comes from, and its message with what to do where that is known. */
export function blame(error: unknown, code: Code): Blame {
  const said = error instanceof Error ? error.message : String(error);
  const message = said + adviceFor(said);
  const place = placeOf(error, code);
  if (place !== undefined) return { file: place, message };
  return error instanceof SyntaxError ? blameSyntax(message, code) : { message };
}

/** The generation of user code whose frame is the innermost in an error's stack. */
export function generationIn(error: unknown): number | undefined {
  const [first] = stackOf(error).matchAll(FRAME);
  return generationOf(first?.[1]);
}

function placeOf(error: unknown, code: Code): string | undefined {
  if (error instanceof SourceError) return shown(code, error.path, error.line);
  const stack = stackOf(error);
  const head = HEAD.exec(stack);
  if (head !== null) return shown(code, head[1]!, Number(head[2]));
  for (const [, url, line, column] of stack.matchAll(FRAME)) {
    if (generationOf(url) !== code.generation) continue;
    return shown(code, fileURLToPath(url!), originalLine(url!, Number(line), Number(column ?? 1)));
  }
  return undefined;
}

const stackOf = (error: unknown) => (error instanceof Error ? (error.stack ?? "") : "");

/** V8 keeps the place of a syntax error in a module to itself: the file read last is looked at again. */
function blameSyntax(message: string, code: Code): Blame {
  const path = lastFileOf(code.generation);
  if (path === undefined) return { message };
  const found = /\.[cm]?js$/.test(path) ? syntaxError(readFileSync(path, "utf8"), path) : undefined;
  return { file: shown(code, path, found?.line), message };
}

function shown({ folder }: Code, path: string, line?: number): string {
  const name = relative(folder, path);
  return line === undefined ? name : `${name}:${line}`;
}
