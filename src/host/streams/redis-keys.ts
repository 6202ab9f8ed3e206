import type { NumberedEvent, StreamEvent } from "./event.ts";
import type { StreamOwner } from "./shared-log.ts";

/** Renewed while the process lives: what it produces is lost when this is gone. */
export const leaseKey = (replica: string): string => `capstan:replica:${replica}`;
/** JSON of {@link StreamRecord}. */
export const recordKey = (id: string): string => `capstan:stream:{${id}}:record`;
/** A Redis stream; the entry `<number>-0` is the event of that number. */
export const eventsKey = (id: string): string => `capstan:stream:{${id}}:events`;
/** How far a client at another replica has read; expires when it has been away too long. */
export const awaitedKey = (id: string): string => `capstan:stream:{${id}}:awaited`;
/** Where new events are announced. */
export const channelOf = (id: string): string => `capstan:stream:{${id}}`;
export const ticketKey = (fingerprint: string): string => `capstan:ticket:${fingerprint}`;

/** Longer than a model may hold up the event loop; shorter than a client is waited for. */
export const LEASE_MS = 5000;
export const RENEW_MS = 1000;
/** Of the records of streams under way, which are renewed: when a process dies, they go by themselves. */
export const RECORD_MS = 60_000;

export interface StreamRecord {
  readonly owner: StreamOwner;
  readonly replica: string;
}

export const entryId = (number: number): string => `${number}-0`;

/** An entry of a Redis stream as an event. */
export function eventOf([id, fields]: readonly [string, readonly string[]]): NumberedEvent {
  const name = fields[fields.indexOf("name") + 1] as StreamEvent["name"];
  return { number: Number.parseInt(id, 10), name, data: fields[fields.indexOf("data") + 1] ?? "" };
}
