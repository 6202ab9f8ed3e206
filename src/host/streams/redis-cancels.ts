import { randomUUID } from "node:crypto";
import type { RunningCalls } from "../running.ts";
import type { RedisConnection } from "./redis.ts";
import type { RedisChannels } from "./redis-channels.ts";

/** Where a replica asks the others, and where it is answered. */
const ASKED = "capstan:cancel";
const answeredTo = (replica: string): string => `${ASKED}:${replica}`;

const WHAT = "cancelling what another replica may be doing";
/** A replica that has not said by then whether it has the call is taken for gone. */
const ANSWER_MS = 1000;

interface Question {
  readonly from: string;
  readonly number: number;
  readonly requestId: string;
  readonly owner: string;
}

interface Answer {
  readonly number: number;
  readonly cancelled: boolean;
}

/** Calls under way in other replicas, cancelled through Redis: all are asked, and each says whether it had the call. */
export class RedisCancels implements Disposable {
  readonly #connection: RedisConnection;
  readonly #running: RunningCalls;
  readonly #replica = randomUUID();
  readonly #waiting = new Map<number, (cancelled: boolean) => void>();
  readonly #listening: readonly Disposable[];
  #asked = 0;

  constructor(connection: RedisConnection, channels: RedisChannels, running: RunningCalls) {
    this.#connection = connection;
    this.#running = running;
    this.#listening = [
      channels.listen(ASKED, (message) => this.#answer(read<Question>(message))),
      channels.listen(answeredTo(this.#replica), (message) => this.#hear(read<Answer>(message))),
    ];
  }

  /**
   * Whether another replica had the owner's call, and cancelled it.
   * @throws CapstanError NOT_READY while Redis is away.
   */
  async cancel(requestId: string, owner: string): Promise<boolean> {
    this.#asked += 1;
    const question: Question = { from: this.#replica, number: this.#asked, requestId, owner };
    using answers = this.#expect(question.number);
    const message = JSON.stringify(question);
    // This replica hears itself as well, and says nothing.
    const others = (await this.#connection.run(WHAT, (redis) => redis.publish(ASKED, message))) - 1;
    return await answers.from(others);
  }

  [Symbol.dispose](): void {
    for (const listening of this.#listening) listening[Symbol.dispose]();
    for (const answer of this.#waiting.values()) answer(false);
  }

  #answer({ from, number, requestId, owner }: Partial<Question>): void {
    if (from === undefined || number === undefined || from === this.#replica) return;
    const cancelled = this.#running.cancelHere(requestId ?? "", owner ?? "");
    const answer: Answer = { number, cancelled };
    void this.#connection.redis.publish(answeredTo(from), JSON.stringify(answer)).catch(() => {});
  }

  #hear({ number, cancelled }: Partial<Answer>): void {
    this.#waiting.get(number ?? 0)?.(cancelled === true);
  }

  #expect(number: number): Answers {
    const answers = new Answers(() => this.#waiting.delete(number));
    this.#waiting.set(number, (cancelled) => answers.add(cancelled));
    return answers;
  }
}

/** A message; nothing of it where somebody else published what is none. */
function read<T extends object>(message: string): Partial<T> {
  try {
    return (JSON.parse(message) ?? {}) as Partial<T>;
  } catch {
    return {};
  }
}

/** The answers to one question, which may come before it is known how many there are. */
class Answers implements Disposable {
  readonly #found = Promise.withResolvers<boolean>();
  readonly #done: () => void;
  #expected = Number.POSITIVE_INFINITY;
  #refused = 0;

  constructor(done: () => void) {
    this.#done = done;
  }

  add(cancelled: boolean): void {
    if (cancelled) this.#found.resolve(true);
    else this.#refused += 1;
    if (this.#refused >= this.#expected) this.#found.resolve(false);
  }

  /** The first that is yes, else no when all have said so, or time is up. */
  async from(others: number): Promise<boolean> {
    this.#expected = others;
    if (this.#refused >= others) this.#found.resolve(false);
    const timer = setTimeout(() => this.#found.resolve(false), ANSWER_MS);
    return this.#found.promise.finally(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    this.#done();
  }
}
