import type { Log } from "../../contracts/index.ts";
import type { ServerSettings } from "../../settings/server.ts";
import type { RunningCalls } from "../running.ts";
import { parseEventId } from "./event.ts";
import { connectRedis, type RedisConnection } from "./redis.ts";
import { RedisCancels } from "./redis-cancels.ts";
import { RedisChannels } from "./redis-channels.ts";
import { RedisLog } from "./redis-log.ts";
import { RedisTickets } from "./redis-tickets.ts";
import { ResumableStreams } from "./resumable.ts";
import { reopen, type TicketContents, Tickets, TicketsInProcess } from "./tickets.ts";

/** What streams for browsers need beside a model. */
export class BrowserStreams implements AsyncDisposable {
  readonly resumable: ResumableStreams;
  readonly tickets: Tickets;
  readonly #drainMs: number;
  readonly #opened: AsyncDisposableStack;

  private constructor(
    resumable: ResumableStreams,
    tickets: Tickets,
    drainMs: number,
    opened: AsyncDisposableStack,
  ) {
    this.resumable = resumable;
    this.tickets = tickets;
    this.#drainMs = drainMs;
    this.#opened = opened;
  }

  /**
   * With `redis_url` a client may come back to any replica, a ticket is good at each, and each cancels the calls of the
   * others.
   * @param running of this replica.
   */
  static async open(settings: StreamSettings, log: Log, running: RunningCalls): Promise<BrowserStreams> {
    const { redis_url, resume_grace: graceMs, drain_timeout } = settings;
    await using opened = new AsyncDisposableStack();
    const connection = redis_url === null ? undefined : opened.use(await connectRedis(redis_url, log));
    const shared = connection && { shared: share(connection, graceMs, running, opened) };
    const tickets = new Tickets(connection ? new RedisTickets(connection) : new TicketsInProcess());
    const resumable = new ResumableStreams({ graceMs, ...shared });
    return new BrowserStreams(resumable, tickets, drain_timeout, opened.move());
  }

  /**
   * What a ticket stands for: the credential of who made it. It is good once, and after that for the one who comes
   * back to the stream that it began.
   * @param lastEventId of the event the client saw last.
   * @throws CapstanError NOT_READY while Redis is away, INVALID_ARGUMENT for an id that is none.
   */
  async credentialOf(ticket: string, lastEventId?: string): Promise<TicketContents | undefined> {
    if (lastEventId === undefined) return this.tickets.redeem(ticket);
    const stream = await this.resumable.find(parseEventId(lastEventId).stream);
    return reopen(ticket, stream?.owner.ticket);
  }

  /** Waits for the streams under way, at most until the drain times out. */
  close(): Promise<void> {
    return this.resumable.close(this.#drainMs);
  }

  /** Leaves Redis: to be called when nobody reads any more. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync();
  }
}

function share(
  connection: RedisConnection,
  graceMs: number,
  running: RunningCalls,
  opened: AsyncDisposableStack,
): RedisLog {
  const channels = opened.use(new RedisChannels(connection.redis));
  running.elsewhere = opened.use(new RedisCancels(connection, channels, running));
  return opened.use(new RedisLog(connection, channels, graceMs));
}

export type StreamSettings = Pick<ServerSettings, "redis_url" | "resume_grace" | "drain_timeout">;
