/** How check files are written: `const { must, should } = checksFrom(source, needs)`. */
import type { Session } from "./session.ts";
import type { Check, Level, Need } from "./types.ts";

type Run = (session: Session) => Promise<void>;
type Define = (id: string, title: string, run: Run) => Check;

/** Makers of checks that share a source and needs. */
export function checksFrom(source: string, needs: readonly Need[] = []): { must: Define; should: Define } {
  const define =
    (level: Level): Define =>
    (id, title, run) => ({ id, level, title, source, needs, run });
  return { must: define("must"), should: define("should") };
}
