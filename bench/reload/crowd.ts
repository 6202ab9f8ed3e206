import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "./clients.ts";
import type { Model } from "./served.ts";

/** What came of one request. Times are of `performance`, in milliseconds. */
export interface Answer {
  readonly kind: Client["kind"];
  readonly model: Model;
  readonly from: number;
  readonly until: number;
  /** Empty for a request that was lost. */
  readonly versions: readonly number[];
  readonly fault?: string;
}

/** Between two requests of a client: 16 that never paused would measure the machine's two cores alone. */
const PAUSE_MS = 5;

/** Clients that ask one after the other until they are stopped. */
export class Crowd {
  readonly answers: Answer[] = [];
  readonly #clients: readonly Client[];
  readonly #work: Promise<unknown>;
  readonly #newest = new Map<Model, number>();
  #waiting: { model: Model; version: number; seen: () => void }[] = [];
  #stopped = false;

  constructor(clients: readonly Client[]) {
    this.#clients = clients;
    this.#work = Promise.all(clients.map((client) => this.#askOn(client)));
  }

  /** Resolves when a first answer is of this version or a later one. */
  seen(model: Model, version: number): Promise<void> {
    if ((this.#newest.get(model) ?? 0) >= version) return Promise.resolve();
    return new Promise((seen) => this.#waiting.push({ model, version, seen }));
  }

  /** Every request under way is answered first. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#work;
    for (const client of this.#clients) client.close();
  }

  async #askOn(client: Client): Promise<void> {
    while (!this.#stopped) {
      const answer = await ask(client);
      this.answers.push(answer);
      this.#note(answer);
      await sleep(PAUSE_MS);
    }
  }

  #note({ model, versions }: Answer): void {
    const newest = Math.max(this.#newest.get(model) ?? 0, ...versions);
    this.#newest.set(model, newest);
    const isSeen = (each: { model: Model; version: number }) =>
      each.model === model && each.version <= newest;
    for (const each of this.#waiting.filter(isSeen)) each.seen();
    this.#waiting = this.#waiting.filter((each) => !isSeen(each));
  }
}

async function ask({ kind, model, ask: send }: Client): Promise<Answer> {
  const from = performance.now();
  const answered = (more: Pick<Answer, "versions" | "fault">) => ({
    ...{ kind, model, from },
    until: performance.now(),
    ...more,
  });
  try {
    return answered({ versions: await send() });
  } catch (error) {
    return answered({ versions: [], fault: (error as Error).message });
  }
}
