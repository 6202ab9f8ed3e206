import { createRequire, SourceMap } from "node:module";
import type { TransformFailure } from "esbuild";

type Esbuild = typeof import("esbuild");

export interface Transpiled {
  readonly code: string;
  readonly map: SourceMap;
}

/** A source that does not parse. `path` is absolute; `line` counts from 1. */
export class SourceError extends SyntaxError {
  readonly path: string;
  readonly line: number;

  constructor(message: string, path: string, line: number) {
    super(message);
    this.path = path;
    this.line = line;
  }
}

export interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** Text of the tsconfig.json that applies, and its path. */
  readonly tsconfig?: { readonly path: string; readonly text: string };
}

/**
 * TypeScript as JavaScript of this Node: types, enums, namespaces, parameter properties, and decorators of either
 * kind (`experimentalDecorators` of the tsconfig).
 * @throws SourceError
 */
export function transpile({ path, text, tsconfig }: SourceFile): Transpiled {
  try {
    const { code, map } = esbuild().transformSync(text, {
      loader: "ts",
      format: path.endsWith(".cts") ? "cjs" : "esm",
      target: "node24",
      sourcemap: "external",
      sourcesContent: false,
      sourcefile: path,
      logLevel: "silent",
      ...(tsconfig === undefined ? {} : { tsconfigRaw: tsconfig.text }),
    });
    return { code, map: new SourceMap(JSON.parse(map)) };
  } catch (failure) {
    throw sourceError(failure, path, tsconfig?.path);
  }
}

/** Where a source does not parse, which V8 does not tell of a module; undefined where it does parse. */
export function syntaxError(text: string, path: string): SourceError | undefined {
  try {
    esbuild().transformSync(text, { loader: "js", sourcefile: path, logLevel: "silent" });
    return undefined;
  } catch (failure) {
    return sourceError(failure, path);
  }
}

function sourceError(failure: unknown, path: string, tsconfig = path): SourceError {
  const [first] = (failure as TransformFailure).errors;
  const inConfig = first?.location?.file === "<tsconfig.json>";
  return new SourceError(
    first?.text ?? String(failure),
    inConfig ? tsconfig : path,
    first?.location?.line ?? 1,
  );
}

let loaded: Esbuild | undefined;

/**
 * Without esbuild's own thread and service process: they are not worth their memory for a few files at each load, and
 * a thread that is terminated would leave them behind.
 */
function esbuild(): Esbuild {
  if (loaded !== undefined) return loaded;
  const before = process.env.ESBUILD_WORKER_THREADS;
  process.env.ESBUILD_WORKER_THREADS = "0";
  try {
    loaded = createRequire(import.meta.url)("esbuild") as Esbuild;
    return loaded;
  } finally {
    if (before === undefined) delete process.env.ESBUILD_WORKER_THREADS;
    else process.env.ESBUILD_WORKER_THREADS = before;
  }
}
