import { createRequire, isBuiltin, SourceMap } from "node:module";
import { basename } from "node:path";
import type { TransformFailure } from "esbuild";
import type { TsConfig } from "./tsconfig.ts";

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
  /** The tsconfig.json that applies. */
  readonly tsconfig?: TsConfig;
}

/** TypeScript that exports as CommonJS does is that, whatever the file is called. */
export function formatOf({ path, text }: SourceFile): "commonjs" | "module" {
  return path.endsWith(".cts") || /^export\s*=/m.test(text) ? "commonjs" : "module";
}

/**
 * TypeScript as JavaScript of this Node: types, enums, namespaces, parameter properties, `import x = require()`, and
 * decorators of either kind (`experimentalDecorators` of the tsconfig).
 * @throws SourceError
 */
export function transpile(file: SourceFile): Transpiled {
  const { path, text, tsconfig } = file;
  if (tsconfig?.emitDecoratorMetadata === true && DECORATOR.test(text)) throw withoutMetadata(path, tsconfig);
  const isModule = formatOf(file) === "module";
  try {
    const { code, map } = esbuild().transformSync(isModule ? withImports(text) : text, {
      loader: path.endsWith("x") ? "tsx" : "ts",
      format: isModule ? "esm" : "cjs",
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

const REQUIRED = /^([ \t]*)(export\s+)?import\s+([\w$]+)\s*=\s*require\(\s*(["'])([^"'\n]+)\4\s*\)[ \t]*;?/gm;

/**
 * `import x = require("y")` in the terms of modules, on the same line. As with `require()` of a module, x is what a
 * CommonJS file exports, and else the namespace.
 */
function withImports(text: string): string {
  return text.replace(REQUIRED, (_, indent: string, exported = "", name: string, __, from: string) => {
    const whole = isBuiltin(from) ? `${name}$.default` : `(${name}$ as any)["module.exports"] ?? ${name}$`;
    return `${indent}import * as ${name}$ from ${JSON.stringify(from)}; ${exported}const ${name} = ${whole};`;
  });
}

const DECORATOR = /^\s*@[A-Za-z_$]/m;

function withoutMetadata(path: string, tsconfig: TsConfig): SourceError {
  const line = tsconfig.text.slice(0, tsconfig.text.indexOf("emitDecoratorMetadata")).split("\n").length;
  const text =
    `emitDecoratorMetadata is not supported, and decorators in ${basename(path)} may read what it emits: ` +
    "remove it where nothing does, or serve the JavaScript that tsc makes";
  return new SourceError(text, tsconfig.path, line);
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
