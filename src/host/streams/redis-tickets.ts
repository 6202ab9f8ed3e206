import type { RedisConnection } from "./redis.ts";
import { ticketKey } from "./redis-keys.ts";
import type { TicketStore } from "./tickets.ts";

const WHAT = "a ticket";

/** Tickets that every replica takes, once. */
export class RedisTickets implements TicketStore {
  readonly #connection: RedisConnection;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  async put(fingerprint: string, sealed: string, milliseconds: number): Promise<void> {
    await this.#connection.run(WHAT, (redis) =>
      redis.set(ticketKey(fingerprint), sealed, "PX", milliseconds),
    );
  }

  async take(fingerprint: string): Promise<string | undefined> {
    return (await this.#connection.run(WHAT, (redis) => redis.getdel(ticketKey(fingerprint)))) ?? undefined;
  }
}
