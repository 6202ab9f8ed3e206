import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { type ParseError, parse } from "jsonc-parser";

/** What a tsconfig.json says about the code beside it, with what it extends. */
export interface TsConfig {
  readonly path: string;
  /** The JSON with all of `compilerOptions`. */
  readonly text: string;
  readonly emitDecoratorMetadata: boolean;
  /**
   * The files that an import may stand for by `paths` and `baseUrl`, the likeliest first: absolute, and maybe without
   * their endings.
   */
  aliased(specifier: string): string[];
}

interface Options {
  readonly [option: string]: unknown;
  readonly emitDecoratorMetadata?: unknown;
  readonly baseUrl?: unknown;
  readonly paths?: Readonly<Record<string, readonly string[]>>;
}

interface Document {
  readonly extends?: unknown;
  readonly compilerOptions?: Options;
}

const TOPS = ["package.json", "langgraph.json", "model-settings.json"];

/** Files that extend each other in a circle end here. */
const DEEPEST = 8;

/**
 * The tsconfig.json in a folder, or above it as far as the model's; for code that lies elsewhere, as far as its package.
 */
export function nearestConfig(folder: string, top: string): TsConfig | undefined {
  const path = join(folder, "tsconfig.json");
  if (existsSync(path)) return configAt(path);
  const isTop =
    folder === top || folder === dirname(folder) || TOPS.some((name) => existsSync(join(folder, name)));
  return isTop ? undefined : nearestConfig(dirname(folder), top);
}

function configAt(path: string): TsConfig {
  const source = readFileSync(path, "utf8");
  const document = parsed(source);
  // What does not parse goes on as it is: whoever compiles with it says where it is wrong.
  const options = document === undefined ? {} : optionsOf(document, path, DEEPEST);
  return {
    path,
    text: document?.extends === undefined ? source : JSON.stringify({ compilerOptions: options }),
    emitDecoratorMetadata: options.emitDecoratorMetadata === true,
    aliased: (specifier) => aliased(specifier, options),
  };
}

function parsed(text: string): Document | undefined {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { allowTrailingComma: true });
  return errors.length === 0 && typeof value === "object" && value !== null ? value : undefined;
}

/** `compilerOptions` with those of the files extended below them; a file's paths are made absolute. */
function optionsOf({ extends: bases, compilerOptions = {} }: Document, path: string, depth: number): Options {
  const inherited = [bases].flat().map((base) => extended(base, path, depth));
  const { baseUrl, paths } = compilerOptions;
  const folder = typeof baseUrl === "string" ? resolve(dirname(path), baseUrl) : dirname(path);
  const absolute = Object.entries(paths ?? {}).map(([pattern, targets]) => {
    return [pattern, [targets].flat().map((target) => resolve(folder, String(target)))];
  });
  return Object.assign({}, ...inherited, compilerOptions, {
    ...(typeof baseUrl === "string" && { baseUrl: folder }),
    ...(paths !== undefined && { paths: Object.fromEntries(absolute) }),
  });
}

/** Nothing for a file that is not there, such as a package that is only installed where the code is written. */
function extended(base: unknown, path: string, depth: number): Options {
  const file = typeof base === "string" && depth > 0 ? extendedFile(base, path) : undefined;
  const document = file === undefined ? undefined : parsed(readFileSync(file, "utf8"));
  return document === undefined ? {} : optionsOf(document, file!, depth - 1);
}

function extendedFile(base: string, path: string): string | undefined {
  if (/^[./]/.test(base)) {
    const file = resolve(dirname(path), base);
    return [file, `${file}.json`].find((each) => each.endsWith(".json") && existsSync(each));
  }
  const { resolve: find } = createRequire(path);
  for (const name of [base, `${base}.json`, `${base}/tsconfig.json`]) {
    try {
      return find(name);
    } catch {
      // The next spelling.
    }
  }
  return undefined;
}

/** TypeScript's rule: of the patterns that match, the one with the longest text before its star. */
function aliased(specifier: string, { paths = {}, baseUrl }: Options): string[] {
  const matches = Object.keys(paths).flatMap((pattern) => {
    const [before = "", after] = pattern.split("*");
    if (after === undefined) return pattern === specifier ? [{ pattern, star: "", rank: Infinity }] : [];
    const long = specifier.length >= before.length + after.length;
    if (!long || !specifier.startsWith(before) || !specifier.endsWith(after)) return [];
    const star = specifier.slice(before.length, specifier.length - after.length);
    return [{ pattern, star, rank: before.length }];
  });
  const best = matches.toSorted((a, b) => b.rank - a.rank)[0];
  if (best !== undefined) return paths[best.pattern]!.map((target) => target.replace("*", best.star));
  return typeof baseUrl === "string" ? [join(baseUrl, specifier)] : [];
}
