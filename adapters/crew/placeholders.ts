/** CrewAI's rule for the names of inputs; JSON in a text is left alone. */
const PLACEHOLDER = /\{([A-Za-z_][A-Za-z0-9_-]*)\}/g;

export type Values = Readonly<Record<string, unknown>>;

/** The names of the placeholders in some texts, each once, in the order in which they come. */
export function placeholdersOf(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => [...text.matchAll(PLACEHOLDER)].map(([, name]) => name!)))];
}

/** A text with the values in it; what has no value stays as it is. */
export function fill(text: string, values: Values): string {
  return text.replace(PLACEHOLDER, (whole, name: string) =>
    Object.hasOwn(values, name) ? shown(values[name]) : whole,
  );
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
