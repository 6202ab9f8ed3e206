import { createHash } from "node:crypto";
import { invalid, type Session } from "../../src/contracts/index.ts";

/** The keys of a session. Names of callers are in them only as digests. */
export interface SessionKeys {
  /** A hash: the JSON of each turn by its id. */
  readonly turns: string;
  /** A list: the ids of the turns, oldest first. */
  readonly order: string;
  /** The owner's: a sorted set of session ids by when they expire. */
  readonly sessions: string;
  readonly lock: string;
  /** How often the lock was given: the tokens of its holders. */
  readonly fence: string;
}

/** @throws CapstanError INVALID_ARGUMENT for a session without a name. */
export function keysOf(prefix: string, { owner, id }: Session): SessionKeys {
  if (id === "") throw invalid("A session needs a name that is not empty", { param: "session_id" });
  const session = `${prefix}{${digest(owner)}}:${digest(id)}`;
  return {
    turns: `${session}:turns`,
    order: `${session}:order`,
    sessions: sessionsKey(prefix, owner),
    lock: `${session}:lock`,
    fence: `${session}:fence`,
  };
}

export function sessionsKey(prefix: string, owner: string): string {
  return `${prefix}{${digest(owner)}}:sessions`;
}

/** Of the JSON, in which any text is well-formed. */
function digest(text: string): string {
  return createHash("sha256").update(JSON.stringify(text)).digest("base64url");
}
