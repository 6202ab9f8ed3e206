import { relative } from "node:path";

/** One thing wrong in a settings file or in the environment. */
export interface Problem {
  /** Absolute path of the file; the variable's or the flag's name when there is no file. */
  readonly file: string;
  /** From 1; absent when there is no file. */
  readonly line?: number;
  readonly column?: number;
  /** Dotted path of the key; "" for the file as a whole. */
  readonly key: string;
  readonly message: string;
  readonly severity: "error" | "warning";
}

/** A problem without its place: `path` leads to the value in the document. */
export interface Finding {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly severity: Problem["severity"];
}

export const isError = (problem: { readonly severity: Problem["severity"] }) => problem.severity === "error";

/** Settings that cannot be used. The message holds one line for each error; `problems` has the warnings, too. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], cwd = process.cwd()) {
    super(
      problems
        .filter(isError)
        .map((problem) => formatProblem(problem, cwd))
        .join("\n"),
    );
    this.problems = problems;
  }
}

/** `settings.json:3:5 http_prot: unknown key`, with the file relative to `cwd` when it is inside. */
export function formatProblem(problem: Problem, cwd = process.cwd()): string {
  const { file, line, column, key, message } = problem;
  if (line === undefined) return key === "" ? `${file}: ${message}` : `${file} (${key}): ${message}`;
  const place = `${shortPath(file, cwd)}:${line}:${column ?? 1}`;
  return key === "" ? `${place}: ${message}` : `${place} ${key}: ${message}`;
}

export function shortPath(file: string, cwd: string): string {
  const short = relative(cwd, file);
  return short === "" || short.startsWith("..") ? file : short;
}

/** Order of reading: problems without a place come last. */
export function byPlace(a: Problem, b: Problem): number {
  const [aLine, bLine] = [a.line ?? Number.MAX_SAFE_INTEGER, b.line ?? Number.MAX_SAFE_INTEGER];
  return aLine - bLine || (a.column ?? 0) - (b.column ?? 0);
}

/** `parameters.inputs[0].name` of a path into a document. */
export function keyText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}
