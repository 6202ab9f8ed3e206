import type { Candidate } from "./repository.ts";
import { Slot } from "./slot.ts";

/**
 * Matches what a scan found to what is being looked after. A slot belongs to a model version, so that a
 * folder may move without a gap; a folder that broke keeps the slots it filled before.
 */
export class Slots {
  readonly #slots = new Map<string, Slot>();
  readonly #wantedAtFirst: boolean;

  constructor(wantedAtFirst: boolean) {
    this.#wantedAtFirst = wantedAtFirst;
  }

  all(): Slot[] {
    return [...this.#slots.values()];
  }

  named(name: string): Slot[] {
    return this.all().filter((slot) => slot.name === name);
  }

  /** The present slot that took over the place of one that is gone, and is not serving yet. */
  successorOf(gone: Slot): Slot | undefined {
    return this.all().find((slot) => slot.waiting && slot.candidate.key === gone.candidate.key);
  }

  /** Whether some version of the place that a slot is for is being served. */
  isServed(slot: Slot): boolean {
    return this.all().some((each) => each.generation && each.candidate.key === slot.candidate.key);
  }

  /** Takes a scan's result over. */
  update(candidates: readonly Candidate[]): void {
    for (const slot of this.all()) slot.present = false;
    const broken = candidates.filter((candidate) => candidate.error !== undefined);
    for (const candidate of candidates) {
      if (candidate.error === undefined)
        this.#claim(JSON.stringify([candidate.name, candidate.version]), candidate);
    }
    for (const candidate of broken) this.#keepBroken(candidate);
  }

  dropRemovable(): Slot[] {
    const gone: Slot[] = [];
    for (const [key, slot] of this.#slots) {
      if (!slot.removable) continue;
      this.#slots.delete(key);
      gone.push(slot);
    }
    return gone;
  }

  #claim(key: string, candidate: Candidate): void {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      const before = this.all().find((each) => each.generation && each.candidate.key === candidate.key);
      slot = new Slot(candidate, candidate.wanted ?? this.#wantedAtFirst, before);
      this.#slots.set(key, slot);
    }
    slot.candidate = candidate;
    slot.wanted = candidate.wanted ?? slot.wanted;
    slot.present = true;
  }

  /** The model a folder served before it broke keeps its name, and shows the fault as its reason. */
  #keepBroken(candidate: Candidate): void {
    const served = this.all().filter(
      (slot) => !slot.present && slot.generation !== undefined && slot.candidate.key === candidate.key,
    );
    for (const slot of served) {
      slot.candidate = { ...candidate, name: slot.name, version: slot.version };
      slot.present = true;
    }
    if (served.length === 0) this.#claim(`broken:${candidate.key}`, candidate);
  }
}
