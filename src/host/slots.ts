import type { Candidate } from "./repository.ts";
import { Slot } from "./slot.ts";
import { folderKey } from "./sources/canary.ts";

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

  /** What a slot's load takes the place of: its own generation, or a version from the same place that is gone. */
  servedBefore(slot: Slot): Slot | undefined {
    const isGone = (other: Slot) => !other.present && other.candidate.key === slot.candidate.key;
    return this.all().find((other) => other.generation && (other === slot || isGone(other)));
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
    for (const slot of this.all()) if (!slot.present) slot.abandon();
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
      (slot) => !slot.present && slot.generation !== undefined && folderKey(slot.candidate) === candidate.key,
    );
    for (const slot of served) {
      const { name, version, key, canary } = slot.candidate;
      slot.candidate = { ...candidate, name, version, key, ...(canary && { canary }) };
      slot.present = true;
    }
    if (served.length === 0) this.#claim(`broken:${candidate.key}`, candidate);
  }
}
