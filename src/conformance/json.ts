/** JSON with exact integers: beyond 2^53 they are bigint, in and out. */

/** V8 gives revivers the number's text; the standard library's types do not know it yet. */
type SourceReviver = (key: string, value: unknown, context: { source?: string }) => unknown;
type ParseWithSource = (text: string, reviver: SourceReviver) => unknown;

const exactInteger: SourceReviver = (_key, value, { source }) => {
  if (typeof value !== "number" || Number.isSafeInteger(value) || source === undefined) return value;
  return /^-?\d+$/.test(source) ? BigInt(source) : value;
};

/** @throws SyntaxError */
export function parseJson(text: string): unknown {
  return (JSON.parse as ParseWithSource)(text, exactInteger);
}

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** bigint is written as a plain JSON number. */
export function stringifyJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "bigint" ? rawJSON(String(part)) : part,
  );
}
