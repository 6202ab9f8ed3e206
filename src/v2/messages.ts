const LONGEST_SHOWN = 40;
const MOST_NAMES = 20;

/** A caller's value in a message: short, whatever it is. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN)}...` : value);
}

/** `'a', 'b'`; of many, the first ones. */
export function shownNames(items: readonly { readonly name: string }[]): string {
  const names = items.slice(0, MOST_NAMES).map(({ name }) => `'${name}'`);
  if (items.length > MOST_NAMES) names.push(`${items.length - MOST_NAMES} more`);
  return names.join(", ");
}
