import { readFile } from "node:fs/promises";
import { relative } from "node:path";
import {
  findNodeAtLocation,
  getNodeValue,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from "jsonc-parser";
import { LineCounter, parseDocument } from "yaml";
import type { ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./failed.ts";

export type Path = readonly (string | number)[];
export type Fields = Readonly<Record<string, unknown>>;

/** A file of a crew's project. */
export interface Document {
  readonly value: Fields;
  /** `crew.jsonc:12 tasks[0].agent`: file, line and key, for messages. */
  place(path: Path): string;
}

/** @throws CapstanError LOAD_FAILED for a file that cannot be read, is not JSON or YAML, or holds no object. */
export async function readProjectFile(model: ModelSpec, root: string, file: string): Promise<Document> {
  const name = relative(root, file);
  const text = await readFile(file, "utf8").catch((cause: Error) => {
    throw failed(model, `cannot read ${file}: ${cause.message}`, cause);
  });
  const { value, lineOf, fault } = /\.ya?ml$/.test(file) ? parseYaml(text) : parseJson(text);
  if (fault !== undefined) throw failed(model, `${name}:${fault}`);
  if (!isFields(value)) throw failed(model, `${name}: it must hold one object of fields`);
  return {
    value,
    place: (path) => [`${name}:${lineOf(path)}`, keyOf(path)].filter((part) => part !== "").join(" "),
  };
}

interface Parsed {
  readonly value?: unknown;
  readonly lineOf: (path: Path) => number;
  readonly fault?: string;
}

function parseJson(text: string): Parsed {
  const errors: ParseError[] = [];
  const root = parseTree(text.replace(/^\uFEFF/, " "), errors, { allowTrailingComma: true });
  const line = (offset: number) => text.slice(0, offset).split("\n").length;
  const [error] = errors;
  if (error !== undefined) {
    const what = printParseErrorCode(error.error);
    return { lineOf: () => 1, fault: `${line(error.offset)} is not JSON: ${what}` };
  }
  const lineOf = (path: Path) =>
    nearest(path, (part) => {
      const node = root && findNodeAtLocation(root, [...part]);
      return node && line(node.offset);
    });
  return { value: root === undefined ? undefined : (getNodeValue(root) as unknown), lineOf };
}

function parseYaml(text: string): Parsed {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [error] = document.errors;
  if (error !== undefined) {
    return {
      lineOf: () => 1,
      fault: `${lines.linePos(error.pos[0]).line} is not YAML: ${error.message.split("\n")[0]}`,
    };
  }
  const lineOf = (path: Path) =>
    nearest(path, (part) => {
      const node = document.getIn(part, true) as { range?: [number, number, number] | null } | undefined;
      return node?.range ? lines.linePos(node.range[0]).line : undefined;
    });
  return { value: document.toJS() as unknown, lineOf };
}

/** Of a key that is not there, where its parent stands. */
function nearest(path: Path, line: (path: Path) => number | undefined): number {
  for (let length = path.length; length > 0; length--) {
    const found = line(path.slice(0, length));
    if (found !== undefined) return found;
  }
  return 1;
}

function keyOf(path: Path): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? key : `${text}.${key}`;
  }, "");
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
