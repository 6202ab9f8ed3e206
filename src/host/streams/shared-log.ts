import type { NumberedEvent } from "./event.ts";

/** Whose stream it is: only who began it may come back to it. */
export interface StreamOwner {
  readonly model: string;
  /** Fingerprint of the credential; see credential.ts. */
  readonly credential: string;
  /** The ticket that began it, for a browser that comes back with it. */
  readonly ticket?: UsedTicket;
}

export interface UsedTicket {
  readonly fingerprint: string;
  /** What it stands for, which only the ticket itself opens. */
  readonly sealed: string;
}

/** Where the replicas of a server keep the streams that may be gone on with. */
export interface SharedLog extends AsyncDisposable {
  /**
   * Claims the id for a stream of this replica.
   * @throws CapstanError NOT_READY while the log is away, INVALID_ARGUMENT when the id is taken.
   */
  begin(id: string, owner: StreamOwner): Promise<SharedWriter>;
  /**
   * Another replica's stream; undefined when there is none.
   * @throws CapstanError NOT_READY while the log is away.
   */
  find(id: string): Promise<SharedReader | undefined>;
}

/** The producer's side of one stream. It never throws: its own client reads from memory. */
export interface SharedWriter {
  add(event: NumberedEvent): void;
  /** Events before this one are not needed any more. */
  forgetBefore(number: number): void;
  /** How far a client at another replica has read; 0 without one. */
  position(): Promise<number>;
  /** How much longer a client at another replica is waited for, in milliseconds. */
  awaitedMs(): Promise<number>;
  /** No more comes; it is kept for those who come back. */
  end(): void;
}

/** One stream as any replica reads it. */
export interface SharedReader {
  readonly owner: StreamOwner;
  /** Whether there is nothing after an event. */
  isOver(number: number): boolean;
  /**
   * The events after one, and those to come.
   * @throws StreamLost when they cannot be had; `signal.reason`.
   */
  read(after: number, signal: AbortSignal): AsyncIterable<NumberedEvent>;
}
