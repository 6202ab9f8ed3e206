import type { z } from "zod";
import type { OptionsIssue } from "../contracts/index.ts";
import { hint } from "./nearest.ts";
import type { Finding } from "./problems.ts";

export interface Validated<T> {
  /** Absent when there is an error. */
  readonly data?: T;
  readonly findings: readonly Finding[];
}

/** Checks a value against a strict schema, with an unknown key a warning: it is left out. */
export function validate<T>(schema: z.ZodType<T>, value: unknown): Validated<T> {
  const first = schema.safeParse(value);
  if (first.success) return { data: first.data, findings: [] };
  const unknown = unknownKeys(first.error.issues, schema, "warning");
  const known = without(
    value,
    unknown.map(({ path }) => path),
  );
  const second = schema.safeParse(known);
  if (second.success) return { data: second.data, findings: unknown };
  return { findings: [...unknown, ...wrongValues(second.error.issues)] };
}

/** Every issue of a schema as an error: for options that are ours, or a plugin's. */
export function strictFindings(issues: readonly OptionsIssue[], schema: unknown): Finding[] {
  return [...unknownKeys(issues, schema, "error"), ...wrongValues(issues)];
}

function unknownKeys(
  issues: readonly OptionsIssue[],
  schema: unknown,
  severity: Finding["severity"],
): Finding[] {
  return issues.flatMap(({ code, keys = [], path }) => {
    if (code !== "unrecognized_keys") return [];
    const known = keysAt(schema, path);
    return keys.map((key): Finding => {
      return { path: [...path, key], message: `unknown key${hint(key, known)}`, severity };
    });
  });
}

function wrongValues(issues: readonly OptionsIssue[]): Finding[] {
  return issues
    .filter(({ code }) => code !== "unrecognized_keys")
    .map(({ path, message }) => ({ path, message: plainMessage(message), severity: "error" }));
}

/** zod starts its messages with "Invalid input: " and the like. */
const plainMessage = (message: string) => message.replace(/^Invalid [a-z]+: /, "");

/** A copy of `value` without the keys that `paths` lead to. */
function without(value: unknown, paths: readonly (readonly PropertyKey[])[]): unknown {
  const copy: unknown = structuredClone(value);
  for (const path of paths) {
    const parent = path.slice(0, -1).reduce<unknown>((inner, part) => member(inner, part), copy);
    if (typeof parent === "object" && parent !== null) Reflect.deleteProperty(parent, path.at(-1)!);
  }
  return copy;
}

/** The keys a zod schema knows at a path; none when the schema does not say. */
export function keysAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  let current = unwrapped(schema);
  for (const part of path) {
    const shape = member(current, "shape");
    current = unwrapped(shape === undefined ? elementOf(current) : member(shape, part));
  }
  return Object.keys((member(current, "shape") as object | undefined) ?? {});
}

/** What is inside optional, nullable, default and piped schemas. */
function unwrapped(schema: unknown): unknown {
  let current = schema;
  for (;;) {
    const definition = member(current, "def");
    const inner = member(definition, "innerType") ?? pipedSchema(definition);
    if (inner === undefined) return current;
    current = inner;
  }
}

/** A preprocessed schema is on the output side, a transformed one on the input side. */
function pipedSchema(definition: unknown): unknown {
  const input = member(definition, "in");
  return member(member(input, "def"), "type") === "transform" ? member(definition, "out") : input;
}

function elementOf(schema: unknown): unknown {
  const definition = member(schema, "def");
  return member(definition, "element") ?? member(definition, "valueType");
}

function member(value: unknown, key: PropertyKey): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;
}
