import { type Call, CapstanError, type InferResponse } from "../../src/contracts/index.ts";
import type { Backend, Member } from "./backend.ts";
import { pause } from "./exchange.ts";
import { NotExecuted } from "./failures.ts";
import { HealthChecks } from "./health.ts";

const FIRST_BACKOFF_MS = 50;

/** The servers that answer for one model: who gets the next request, and what happens when one cannot. */
export class Backends implements AsyncDisposable {
  readonly #members: readonly Member[];
  readonly #health: HealthChecks;
  readonly #retries: number;
  #turn = 0;

  constructor(backends: readonly Backend[], retries: number, healthIntervalMs: number) {
    this.#members = backends.map((backend) => ({ backend, load: 0, up: true }));
    this.#health = new HealthChecks(this.#members, healthIntervalMs);
    this.#retries = retries;
  }

  /** False when the last health check found no backend that is ready. */
  get ready(): boolean {
    return this.#members.some(({ up }) => up);
  }

  /** Whether answers can come one by one. All backends speak the same protocol. */
  get streams(): boolean {
    return this.#members[0]?.backend.inferStream !== undefined;
  }

  /** Checks all backends now, and from now on at intervals. */
  async watch(call: Call): Promise<void> {
    await this.#health.start(call);
  }

  /**
   * Runs `use` with the backend that has least to do, and with another one when it was not executed there.
   * What may have been executed is never sent again.
   */
  async run<T>(call: Call, use: (backend: Backend) => Promise<T>): Promise<T> {
    const attempts = new Attempts(this.#retries, this.#members.length);
    while (true) {
      const member = this.#choose(attempts.tried);
      member.load += 1;
      try {
        const answer = await use(member.backend);
        member.up = true;
        return answer;
      } catch (error) {
        await attempts.next(member, error, call);
      } finally {
        member.load -= 1;
      }
    }
  }

  /** As {@link run}; only a stream that has not begun moves to another backend. */
  async *stream(
    call: Call,
    use: (backend: Backend) => AsyncIterable<InferResponse>,
  ): AsyncGenerator<InferResponse> {
    const attempts = new Attempts(this.#retries, this.#members.length);
    while (true) {
      const member = this.#choose(attempts.tried);
      member.load += 1;
      try {
        yield* use(member.backend);
        return;
      } catch (error) {
        await attempts.next(member, error, call);
      } finally {
        member.load -= 1;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#health.stop();
    await Promise.all(this.#members.map(({ backend }) => backend[Symbol.asyncDispose]()));
  }

  /** The least loaded of those that are up; of all that are left when none is. Equal ones take turns. */
  #choose(tried: ReadonlySet<Member>): Member {
    if (this.#members.length === 1) return this.#members[0]!;
    const left = this.#members.filter((member) => !tried.has(member));
    const up = left.filter((member) => member.up);
    const candidates = up.length > 0 ? up : left;
    const least = Math.min(...candidates.map(({ load }) => load));
    const equal = candidates.filter(({ load }) => load === least);
    this.#turn = (this.#turn + 1) % this.#members.length;
    return equal[this.#turn % equal.length]!;
  }
}

/** The attempts of one request: each backend once, then again after a pause, as long as retries are left. */
class Attempts {
  readonly tried = new Set<Member>();
  readonly #members: number;
  readonly #failures: string[] = [];
  #left: number;
  #backoffMs = FIRST_BACKOFF_MS;

  constructor(retries: number, members: number) {
    this.#left = retries;
    this.#members = members;
  }

  /** Returns when another attempt may be made, and throws otherwise. */
  async next(member: Member, error: unknown, call: Call): Promise<void> {
    if (!(error instanceof NotExecuted)) throw error;
    if (error.unreachable) member.up = false;
    call.signal.throwIfAborted();
    this.#failures.push(error.message);
    if (this.#left === 0) throw this.#summary(error);
    this.#left -= 1;
    const upstream = member.backend.address.label;
    call.log.warn({ upstream, err: error.message }, "A backend did not take the request; trying again");
    this.tried.add(member);
    if (this.tried.size < this.#members) return;
    this.tried.clear();
    await pause(this.#backoffMs, call);
    this.#backoffMs *= 2;
  }

  #summary(last: NotExecuted): CapstanError {
    const different = [...new Set(this.#failures)];
    if (different.length === 1) return last;
    return new CapstanError("UPSTREAM", `No backend took the request: ${different.join("; ")}`, {
      cause: last,
    });
  }
}
