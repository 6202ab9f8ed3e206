import type { Call, MemoryStore, Session, SessionLock, Turn } from "../../contracts/index.ts";

/** A session while its turn is being made: no other turn of it begins. */
export interface SessionTurn extends AsyncDisposable {
  /** The newest turns, oldest first; all of them without `last`. */
  read(last: number | undefined, call: Call): Promise<readonly Turn[]>;
  /**
   * Keeps what was said.
   * @throws CapstanError NOT_READY when another replica has the session by now.
   */
  end(turns: readonly Turn[], call: Call): Promise<void>;
}

/** What is done under a lock; who disposes of that is told elsewhere. */
export type TurnSteps = Omit<SessionTurn, keyof AsyncDisposable>;

/** In a store that locks, reads and writes one after the other. */
export function turnUnder(lock: SessionLock | undefined, store: MemoryStore, session: Session): TurnSteps {
  return {
    read: (last, call) => readTurns(store, session, last, call),
    async end(turns, call) {
      await lock?.confirm?.(call);
      await store.append(session, turns, call);
    },
  };
}

type BeginsTurns = MemoryStore & Required<Pick<MemoryStore, "beginTurn">>;
export const beginsTurns = (store: MemoryStore): store is BeginsTurns => store.beginTurn !== undefined;

/** In a store that locks and reads at once, and writes and unlocks at once. `held` gets what ends it. */
export async function turnAtOnce(
  store: BeginsTurns,
  session: Session,
  last: number | undefined,
  held: AsyncDisposableStack,
  call: Call,
): Promise<TurnSteps> {
  const begun = held.use(await store.beginTurn(session, rangeOf(last), call));
  return {
    read: async (wanted, inner) => (wanted === last ? begun.turns : readTurns(store, session, wanted, inner)),
    end: (turns, inner) => begun.end(turns, inner),
  };
}

function readTurns(store: MemoryStore, session: Session, last: number | undefined, call: Call) {
  return Array.fromAsync(store.read(session, rangeOf(last), call));
}

const rangeOf = (last: number | undefined) => (last === undefined ? {} : { last });
