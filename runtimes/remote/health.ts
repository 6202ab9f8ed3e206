import type { Call, Log } from "../../src/contracts/index.ts";
import type { Member } from "./backend.ts";

/** Asks each backend at intervals whether it is ready for the model. */
export class HealthChecks {
  readonly #members: readonly Member[];
  readonly #intervalMs: number;
  readonly #stopped = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(members: readonly Member[], intervalMs: number) {
    this.#members = members;
    this.#intervalMs = intervalMs;
  }

  /** Returns after the first round; `call` is only about that one. */
  async start(call: Call): Promise<void> {
    await this.#round(call);
    this.#schedule(call.log);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }

  /** The next round begins when the last one is over; nothing stays alive for its sake. */
  #schedule(log: Log): void {
    if (this.#stopped.signal.aborted) return;
    this.#timer = setTimeout(() => {
      const call = { signal: this.#stopped.signal, requestId: "health", log };
      this.#round(call).then(
        () => this.#schedule(log),
        () => {},
      );
    }, this.#intervalMs).unref();
  }

  async #round(call: Call): Promise<void> {
    const deadline = Math.min(call.deadline ?? Infinity, Date.now() + this.#limitMs);
    await Promise.all(this.#members.map((member) => this.#check(member, { ...call, deadline })));
  }

  /** A server that needs longer than this to say that it is ready is not. */
  get #limitMs(): number {
    return Math.max(1000, this.#intervalMs);
  }

  async #check(member: Member, call: Call): Promise<void> {
    const up = await member.backend.ready(call);
    if (up === member.up) return;
    member.up = up;
    const fields = { upstream: member.backend.address.label };
    if (up) call.log.info(fields, "A backend is ready again");
    else call.log.warn(fields, "A backend is not ready");
  }
}
