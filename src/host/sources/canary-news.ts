import type { Announce } from "../journal.ts";
import type { Slot } from "../slot.ts";

interface Served {
  readonly version: string;
  readonly weight: number;
}

/** Tells when a canary begins to serve, gets another share, or serves every request. */
export class CanaryNews {
  readonly #journal: Announce;
  #known: ReadonlyMap<string, Served> = new Map();

  constructor(journal: Announce) {
    this.#journal = journal;
  }

  /** To be called after what serves, or what should, may be another. */
  look(slots: readonly Slot[]): void {
    const serving = slots.filter(({ present, generation }) => present && generation !== undefined);
    const now = new Map<string, Served>();
    for (const { candidate, name, version } of serving) {
      if (candidate.canary !== undefined) now.set(name, { version, weight: candidate.canary.weight });
    }
    const before = this.#known;
    this.#known = now;
    for (const slot of serving) this.#tell(slot, before.get(slot.name), now.get(slot.name));
  }

  #tell({ candidate, version }: Slot, before: Served | undefined, now: Served | undefined): void {
    const was = before?.version === version ? before.weight : undefined;
    const weight = now?.version === version ? now.weight : undefined;
    if (was === weight) return;
    const news = weight === undefined ? { reason: "it serves every request now" } : { weight };
    this.#journal.announce(was === undefined ? "canary_started" : "canary_advanced", candidate, news);
  }
}
