import { open } from "node:fs/promises";
import { findNodeAtLocation, type Node, type ParseError, parseTree, printParseErrorCode } from "jsonc-parser";
import { type Finding, keyText, type Problem } from "./problems.ts";

/** A settings file is written by a person; what is larger was not meant to be one. */
const MAX_BYTES = 1024 * 1024;

export interface Position {
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

/** A JSON file with comments and trailing commas allowed. */
export interface SettingsDocument {
  readonly file: string;
  /** As written, variables not replaced; `{}` when the file holds no object. */
  readonly value: Readonly<Record<string, unknown>>;
  readonly problems: readonly Problem[];
  /** Where a key stands; of a key that is not there, where its parent does. */
  position(path: readonly PropertyKey[]): Position;
}

/** Reads a settings file. A file that cannot be read is a document with that problem and no keys. */
export async function readDocument(file: string): Promise<SettingsDocument> {
  try {
    return parseDocument(file, await readText(file));
  } catch (error) {
    const message = `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    return emptyDocument(file, [{ file, line: 1, column: 1, key: "", message, severity: "error" }]);
  }
}

/** A document with no keys, for settings that have no file. */
export function emptyDocument(file: string, problems: readonly Problem[] = []): SettingsDocument {
  return { file, value: {}, problems, position: () => ({ line: 1, column: 1 }) };
}

async function readText(file: string): Promise<string> {
  await using handle = await open(file, "r");
  const found = await handle.stat();
  if (!found.isFile()) throw new Error("it is not a file");
  if (found.size > MAX_BYTES) throw new Error(`it has ${found.size} bytes; at most ${MAX_BYTES} are allowed`);
  return (await handle.readFile("utf8")).replace(/^\uFEFF/, "");
}

export function parseDocument(file: string, text: string): SettingsDocument {
  const { root, errors } = parse(text);
  const positions = new Positions(text, root);
  const problems: Problem[] = errors.map(({ error, offset }) => {
    return { file, ...positions.at(offset), key: "", message: syntaxMessage(error), severity: "error" };
  });
  if (root !== undefined && root.type === "object") {
    problems.push(...duplicates(root).map((finding) => placed(file, positions, finding)));
    const value = dataOf(root) as Record<string, unknown>;
    return { file, value, problems, position: (path) => positions.of(path) };
  }
  if (problems.length > 0) return emptyDocument(file, problems);
  return emptyDocument(file, [placed(file, positions, wholeFile("must hold one JSON object"))]);
}

/** A finding with the place it has in a document. */
export function locate(document: SettingsDocument, finding: Finding): Problem {
  return {
    file: document.file,
    ...document.position(finding.path),
    key: keyText(finding.path),
    message: finding.message,
    severity: finding.severity,
  };
}

const wholeFile = (message: string): Finding => ({ path: [], message, severity: "error" });

function placed(file: string, positions: Positions, { path, message, severity }: Finding): Problem {
  return { file, ...positions.of(path), key: keyText(path), message, severity };
}

interface SyntaxFault {
  readonly error: ParseError["error"] | "depth";
  readonly offset: number;
}

function parse(text: string): { root: Node | undefined; errors: readonly SyntaxFault[] } {
  const errors: ParseError[] = [];
  try {
    return { root: parseTree(text, errors, { allowTrailingComma: true }), errors };
  } catch (error) {
    // The parser recurses: a file of nothing but brackets ends its stack.
    if (error instanceof RangeError) return { root: undefined, errors: [{ error: "depth", offset: 0 }] };
    throw error;
  }
}

function syntaxMessage(error: SyntaxFault["error"]): string {
  if (error === "depth") return "is nested too deeply";
  const words = printParseErrorCode(error).replace(/(?<=[a-z])(?=[A-Z])/g, " ");
  return `is not JSON: ${words.toLowerCase()}`;
}

/** The properties that have a value: a broken file may hold some that do not. */
function properties(node: Node): readonly (readonly [key: Node, value: Node])[] {
  return (node.children ?? []).flatMap(({ children }) =>
    children?.[0] !== undefined && children[1] !== undefined ? [[children[0], children[1]] as const] : [],
  );
}

function dataOf(node: Node): unknown {
  if (node.type === "array") return (node.children ?? []).map(dataOf);
  if (node.type !== "object") return node.value;
  return Object.fromEntries(properties(node).map(([key, value]) => [key.value, dataOf(value)]));
}

function duplicates(node: Node, path: readonly PropertyKey[] = []): Finding[] {
  if (node.type === "array")
    return (node.children ?? []).flatMap((item, i) => duplicates(item, [...path, i]));
  if (node.type !== "object") return [];
  const seen = new Set<string>();
  return properties(node).flatMap(([{ value: key }, value]) => {
    const here = [...path, key as string];
    const again: Finding = {
      path: here,
      message: "is given twice; the last one counts",
      severity: "warning",
    };
    const found = seen.has(key) ? [again] : [];
    seen.add(key);
    return [...found, ...duplicates(value, here)];
  });
}

class Positions {
  readonly #text: string;
  readonly #root: Node | undefined;

  constructor(text: string, root: Node | undefined) {
    this.#text = text;
    this.#root = root;
  }

  at(offset: number): Position {
    const before = this.#text.slice(0, offset);
    return { line: before.split("\n").length, column: offset - before.lastIndexOf("\n") };
  }

  of(path: readonly PropertyKey[]): Position {
    for (let length = path.length; length > 0; length -= 1) {
      const node = this.#find(path.slice(0, length));
      if (node !== undefined)
        return this.at(node.parent?.type === "property" ? node.parent.offset : node.offset);
    }
    return this.at(this.#root?.offset ?? 0);
  }

  #find(path: readonly PropertyKey[]): Node | undefined {
    if (this.#root === undefined) return undefined;
    return findNodeAtLocation(
      this.#root,
      path.map((part) => (typeof part === "symbol" ? String(part) : part)),
    );
  }
}
