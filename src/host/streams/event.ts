import { CapstanError, invalid } from "../../contracts/index.ts";

/** One event of an answer that is streamed to a browser. The last is `done` or `failure`. */
export interface StreamEvent {
  readonly name: "token" | "step" | "done" | "failure";
  /** JSON text. */
  readonly data: string;
  /** What a failure says, for who can still answer with a status. */
  readonly error?: CapstanError;
}

/** Numbers count from 1. */
export interface NumberedEvent extends StreamEvent {
  readonly number: number;
}

export const isLast = ({ name }: StreamEvent): boolean => name === "done" || name === "failure";

/** The number in the id of a failure after which there is nothing to come back for. */
export const LOST = "lost";

/** What an event's id says: `<request id>:<number>`. */
export interface EventId {
  readonly stream: string;
  readonly number: number | typeof LOST;
}

const EVENT_ID = /^([\w.:+/=@-]{1,128}):(\d{1,15}|lost)$/;

/**
 * Reads the id of the last event a client has seen.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function parseEventId(text: string): EventId {
  const [, stream, number] = EVENT_ID.exec(text) ?? [];
  if (stream === undefined) {
    const shown = JSON.stringify(text.slice(0, 160));
    throw invalid(`Last-Event-ID ${shown} is not the id of an event: send the last one that came`, {
      param: "last_event_id",
    });
  }
  return { stream, number: number === LOST ? LOST : Number(number) };
}

/** A stream that cannot be gone on with: unknown, expired, or without its producer. */
export class StreamLost extends CapstanError {
  constructor(message: string, cause?: unknown) {
    super("NOT_FOUND", message, { cause });
  }
}
