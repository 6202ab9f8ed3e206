import type { Log } from "../contracts/index.ts";
import type { Generation } from "./generation.ts";

/** Generations that nobody is given any more: each is disposed when the requests in flight on it are answered. */
export class Retirements {
  readonly #drainMs: number;
  readonly #log: Log;
  readonly #underWay = new Set<Promise<void>>();

  /** @param drainMs longest wait for requests in flight; 0 waits without end. */
  constructor(drainMs: number, log: Log) {
    this.#drainMs = drainMs;
    this.#log = log;
  }

  /** Resolves when it is disposed. Never rejects. */
  retire(generation: Generation): Promise<void> {
    const retirement = this.#drain(generation).finally(() => this.#underWay.delete(retirement));
    this.#underWay.add(retirement);
    return retirement;
  }

  /** Resolves when every one so far is disposed. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #drain(generation: Generation): Promise<void> {
    const { name: model, version } = generation.spec;
    const fields = { model, version, generation: generation.id };
    try {
      const left = await generation.retire(this.#drainMs);
      if (left > 0) this.#log.warn({ ...fields, left }, "disposed with requests still in flight");
      else this.#log.debug(fields, "generation disposed");
    } catch (err) {
      this.#log.error({ ...fields, err }, "a generation could not be disposed cleanly");
    }
  }
}
