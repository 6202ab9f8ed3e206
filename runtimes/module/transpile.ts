import { SourceMap, stripTypeScriptTypes } from "node:module";

export interface Transpiled {
  readonly code: string;
  /** Absent where every line is where it was. */
  readonly map?: SourceMap;
}

const INLINE_MAP = /\n*\/\/# sourceMappingURL=data:application\/json;base64,([A-Za-z0-9+/=]+)\s*$/;

/**
 * TypeScript as JavaScript. Types are blanked where they stand; enums, parameter properties and namespaces
 * need code of their own, which moves lines.
 * @throws SyntaxError whose stack begins with `path:line`.
 */
export function transpile(source: string, path: string): Transpiled {
  try {
    return { code: stripTypeScriptTypes(source) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX")
      throw syntaxError(source, path);
    const output = stripTypeScriptTypes(source, { mode: "transform", sourceMap: true });
    const payload = JSON.parse(Buffer.from(INLINE_MAP.exec(output)![1]!, "base64").toString("utf8"));
    return { code: output.replace(INLINE_MAP, ""), map: new SourceMap(payload) };
  }
}

/** The error of this source with its place, which is only told together with a name for the source. */
export function syntaxError(source: string, path: string): unknown {
  try {
    stripTypeScriptTypes(source, { sourceUrl: path });
    return undefined;
  } catch (error) {
    return error;
  }
}

const DECORATOR = /^\s*(export\s+(default\s+)?)?@[A-Za-z_$(]/;

/** The line of the first decorator, counted from 1: Node's engine does not know them, and they are not rewritten. */
export function decoratorLine(source: string): number | undefined {
  const index = source.split("\n").findIndex((line) => DECORATOR.test(line));
  return index < 0 ? undefined : index + 1;
}
