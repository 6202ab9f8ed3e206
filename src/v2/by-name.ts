interface Named {
  readonly name: string;
}

/** Up to here, comparing each with each is faster than building a map or a set. */
const FEW = 16;

/** Finds items by name, in linear time however many names are looked up. */
export function finder<T extends Named>(items: readonly T[]): (name: string) => T | undefined {
  if (items.length <= FEW) return (name) => items.find((item) => item.name === name);
  const byName = new Map(items.map((item) => [item.name, item]));
  return (name) => byName.get(name);
}

/** A name that more than one item has. */
export function findTwice(items: readonly Named[]): string | undefined {
  if (items.length > FEW) return findTwiceInMany(items);
  for (let i = 1; i < items.length; i++) {
    const { name } = items[i]!;
    for (let j = 0; j < i; j++) if (items[j]!.name === name) return name;
  }
  return undefined;
}

function findTwiceInMany(items: readonly Named[]): string | undefined {
  const seen = new Set<string>();
  return items.find(({ name }) => seen.size === seen.add(name).size)?.name;
}
