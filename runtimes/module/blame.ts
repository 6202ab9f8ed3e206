import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { generationOf, lastFileOf, originalLine } from "./hooks.ts";
import { decoratorLine, syntaxError } from "./transpile.ts";

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

/** Where in the user's code an error comes from, and its message with what to do where that is known. */
export function blame(error: unknown, code: Code): Blame {
  const message = error instanceof Error ? error.message : String(error);
  const place = placeOf(error, code);
  const hint = TYPE_ONLY.test(message) ? "; if it is a type, write `import type`" : "";
  if (place !== undefined) return { file: place, message: message + hint };
  return error instanceof SyntaxError ? blameSyntax(message, code) : { message };
}

function placeOf(error: unknown, code: Code): string | undefined {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const head = HEAD.exec(stack);
  if (head !== null) return shown(code, head[1]!, Number(head[2]));
  for (const [, url, line, column] of stack.matchAll(FRAME)) {
    if (generationOf(url) !== code.generation) continue;
    return shown(code, fileURLToPath(url!), originalLine(url!, Number(line), Number(column ?? 1)));
  }
  return undefined;
}

/** V8 keeps the place of a syntax error in a module to itself: the file read last is looked at again. */
function blameSyntax(message: string, code: Code): Blame {
  const path = lastFileOf(code.generation);
  if (path === undefined) return { message };
  const source = readFileSync(path, "utf8");
  const place = placeOf(syntaxError(source, path), code);
  if (place !== undefined) return { file: place, message };
  const line = decoratorLine(source);
  if (line === undefined) return { file: shown(code, path), message };
  const advice =
    "compile the file to JavaScript (with tsc or esbuild) and name that file as the implementation";
  return { file: shown(code, path, line), message: `decorators are not supported: ${advice}` };
}

function shown({ folder }: Code, path: string, line?: number): string {
  const name = relative(folder, path);
  return line === undefined ? name : `${name}:${line}`;
}
