import { randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import { CapstanError } from "../../contracts/index.ts";
import { type Credential, fingerprint, seal, unseal } from "./credential.ts";
import type { UsedTicket } from "./shared-log.ts";

export const TICKET_SECONDS = 60;

/** What a ticket stands for. */
export interface TicketContents {
  /** The only model it is for. */
  readonly model: string;
  readonly credential: Credential;
  /** The request to be streamed, when it came with the ticket. */
  readonly body?: TicketBody;
}

export interface TicketBody {
  readonly base64: string;
  /** Of V2's binary tensor extension: length of the JSON in front. */
  readonly headerLength?: string;
}

/** Keeps sealed tickets by their fingerprints. */
export interface TicketStore {
  put(fingerprint: string, sealed: string, milliseconds: number): Promise<void>;
  /** Undefined for one that is unknown, expired or taken. */
  take(fingerprint: string): Promise<string | undefined>;
}

/**
 * Tickets for clients that cannot send headers, as a browser's EventSource: each carries the credential it was made
 * with to one request. The store has neither the ticket nor, in readable form, what it stands for.
 */
export class Tickets {
  readonly #store: TicketStore;

  constructor(store: TicketStore) {
    this.#store = store;
  }

  /** @throws CapstanError QUEUE_FULL, or NOT_READY while the store is away. */
  async issue(contents: TicketContents): Promise<string> {
    const ticket = randomBytes(32).toString("base64url");
    const sealed = seal(JSON.stringify(contents), ticket);
    await this.#store.put(fingerprint(ticket), sealed, TICKET_SECONDS * 1000);
    return ticket;
  }

  /**
   * Uses a ticket up.
   * @throws CapstanError NOT_READY while the store is away.
   */
  async redeem(ticket: string): Promise<TicketContents | undefined> {
    const sealed = await this.#store.take(fingerprint(ticket));
    return sealed === undefined ? undefined : contentsOf(sealed, ticket);
  }
}

/** The ticket that began a stream, to be kept with it: a browser comes back with the address it has. */
export function usedTicket(ticket: string, { model, credential }: TicketContents): UsedTicket {
  return { fingerprint: fingerprint(ticket), sealed: seal(JSON.stringify({ model, credential }), ticket) };
}

/** What a used ticket stands for; undefined when this is another one. */
export function reopen(ticket: string, used: UsedTicket | undefined): TicketContents | undefined {
  return used?.fingerprint === fingerprint(ticket) ? contentsOf(used.sealed, ticket) : undefined;
}

const contentsOf = (sealed: string, ticket: string) => JSON.parse(unseal(sealed, ticket)) as TicketContents;

const MIB = 1024 * 1024;
const MAX_BYTES = 64 * MIB;

/** Tickets of this process. A full store refuses new ones: those that were given out must be good. */
export class TicketsInProcess implements TicketStore {
  readonly #tickets: LRUCache<string, string>;
  readonly #maxBytes: number;

  constructor(maxBytes = MAX_BYTES) {
    this.#maxBytes = maxBytes;
    this.#tickets = new LRUCache({ maxSize: maxBytes, sizeCalculation: sizeOf });
  }

  async put(fingerprint: string, sealed: string, ttl: number): Promise<void> {
    const size = sizeOf(sealed);
    if (this.#tickets.calculatedSize + size > this.#maxBytes) this.#tickets.purgeStale();
    if (this.#tickets.calculatedSize + size > this.#maxBytes) {
      throw new CapstanError("QUEUE_FULL", "There are too many unused tickets: come back later", {
        retryAfterMs: TICKET_SECONDS * 1000,
      });
    }
    this.#tickets.set(fingerprint, sealed, { ttl });
  }

  async take(fingerprint: string): Promise<string | undefined> {
    const sealed = this.#tickets.get(fingerprint);
    this.#tickets.delete(fingerprint);
    return sealed;
  }
}

/** Beside the text: its key and the cache's own records. */
const OVERHEAD_BYTES = 256;
const sizeOf = (sealed: string): number => sealed.length + OVERHEAD_BYTES;
