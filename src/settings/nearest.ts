import { closestMatch } from "leven";

/** The candidate a misspelt name most likely stands for; undefined when none is close. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const byLowerCase = new Map(candidates.map((candidate) => [candidate.toLowerCase(), candidate]));
  const maxDistance = Math.max(2, Math.floor(name.length / 3));
  const match = closestMatch(name.toLowerCase(), [...byLowerCase.keys()], { maxDistance });
  return match === undefined ? undefined : byLowerCase.get(match);
}

/** `; did you mean "http_port"?`, or "" when nothing is close. */
export function hint(name: string, candidates: readonly string[]): string {
  const match = nearest(name, candidates);
  return match === undefined ? "" : `; did you mean "${match}"?`;
}
