/** What a check is, and how check files write them: `const { must, should } = checksFrom(source, needs)`. */
import type { Session } from "./session.ts";
import type { Level, Need } from "./types.ts";

export interface Check {
  /** Rule and case, such as `R3.malformed-json`; stable across releases. */
  readonly id: string;
  readonly level: Level;
  readonly title: string;
  /** The public document and section the rule comes from. */
  readonly source: string;
  readonly needs: readonly Need[];
  /** Returns where the rule holds. @throws CheckFailure, NotApplicable, or anything a client throws. */
  run(session: Session): Promise<void>;
}

type Run = (session: Session) => Promise<void>;
type Define = (id: string, title: string, run: Run) => Check;

/** Makers of checks that share a source and needs. */
export function checksFrom(source: string, needs: readonly Need[] = []): { must: Define; should: Define } {
  const define =
    (level: Level): Define =>
    (id, title, run) => ({ id, level, title, source, needs, run });
  return { must: define("must"), should: define("should") };
}
