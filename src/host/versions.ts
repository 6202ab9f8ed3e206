const INTEGER = /^\d+$/;

/**
 * Order of versions: integers by value and above every other text, other text by code unit. The newest is
 * the last (V2: a server picks the version when a request names none).
 */
export function compareVersions(a: string, b: string): number {
  const [aNumber, bNumber] = [INTEGER.test(a), INTEGER.test(b)];
  if (aNumber && bNumber) return compare(BigInt(a), BigInt(b));
  if (aNumber !== bNumber) return aNumber ? 1 : -1;
  return compare(a, b);
}

function compare<T extends string | bigint>(a: T, b: T): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
