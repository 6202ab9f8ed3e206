import type { Call } from "./call.ts";
import type { Message } from "./cap-llm.ts";
import type { Host } from "./host.ts";
import type { OptionsSchema } from "./options.ts";

/** A conversation. It belongs to its owner: the same id of another owner is another session. */
export interface Session {
  readonly owner: string;
  readonly id: string;
}

/** One exchange: the messages after the last assistant message, and the answer. */
export interface Turn {
  /** Unique in its session; appending it again changes nothing. */
  readonly id: string;
  readonly messages: readonly Message[];
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** The right to add to a session, until it is disposed. */
export interface SessionLock extends AsyncDisposable {
  /**
   * Before something is written that the lock itself does not guard.
   * @throws CapstanError NOT_READY when another has it by now.
   */
  confirm?(call: Call): Promise<void>;
}

/** A session's turn under way: nobody else adds to the session until it is disposed. */
export interface BegunTurn extends AsyncDisposable {
  /** What was there when it began, oldest first; `last` of the beginning limits to the newest. */
  readonly turns: readonly Turn[];
  /**
   * Appends as the store does, and gives the session to who waits for it.
   * @throws CapstanError NOT_READY, having appended nothing, when another has the session by now.
   */
  end(turns: readonly Turn[], call: Call): Promise<void>;
}

export interface MemoryStore extends AsyncDisposable {
  /** All of the turns or none. A turn id that is there already is kept once. */
  append(session: Session, turns: readonly Turn[], call: Call): Promise<void>;
  /** Oldest first; `last` limits to the newest turns. */
  read(session: Session, range: { readonly last?: number }, call: Call): AsyncIterable<Turn>;
  clear(session: Session, call: Call): Promise<void>;
  sessions?(owner: string, call: Call): AsyncIterable<Session>;
  /** Held across replicas until disposed. Absent: the host queues locally. */
  lock?(session: Session, call: Call): Promise<AsyncDisposable>;
  /** Takes `lock` and reads, for a store that does both in one round trip. Absent: the host does one after the other. */
  beginTurn?(session: Session, range: { readonly last?: number }, call: Call): Promise<BegunTurn>;
  /**
   * Waits until all replicas can read what was appended to a session. Of a store that they share and that has no lock: the
   * host locks the session in the server's Redis until then.
   */
  settled?(session: Session, call: Call): Promise<void>;
}

export interface MemoryPlugin<O = unknown> {
  readonly kind: "memory";
  readonly name: string;
  readonly options: OptionsSchema<O>;
  open(options: O, host: Host): Promise<MemoryStore>;
}

export function defineMemory<O>(plugin: Omit<MemoryPlugin<O>, "kind">): MemoryPlugin<O> {
  return { kind: "memory", ...plugin };
}
