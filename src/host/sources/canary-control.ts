import type { ModelRegistry, Share } from "../registry.ts";
import type { Candidate } from "../repository.ts";
import type { Slot } from "../slot.ts";
import { CanaryWatch } from "./canary-watch.ts";

/** A canary that must be taken back. */
interface Beyond {
  readonly candidate: Candidate;
  readonly reason: string;
}

/** Which canaries there are, and which of them go beyond their limits. */
export class CanaryControl {
  readonly #watches = new Map<string, CanaryWatch>();

  shares(slots: readonly Slot[]): ReadonlyMap<string, Share> {
    const candidates = slots.filter(({ present }) => present).map(({ candidate }) => candidate);
    const canaries = candidates.filter(({ canary }) => canary !== undefined);
    return new Map(canaries.map(({ name, version, canary }) => [name, { version, weight: canary!.weight }]));
  }

  beyond(slots: readonly Slot[], registry: ModelRegistry): Beyond[] {
    const serving = slots.filter(({ candidate, generation, present }) => {
      // Of settings with a mistake in them the limits are not known.
      const isJudged = candidate.canary !== undefined && candidate.settings !== undefined;
      return isJudged && generation !== undefined && present;
    });
    return serving.flatMap(({ candidate, generation }) => {
      const stable = registry.find(candidate.name);
      const limits = candidate.settings!.parameters.extra.canary!;
      if (stable === generation) return [];
      let watch = this.#watches.get(candidate.name);
      if (!watch?.isOf(generation!, stable)) watch = new CanaryWatch(generation!, stable, limits);
      this.#watches.set(candidate.name, watch);
      const reason = watch.verdict();
      return reason === undefined ? [] : [{ candidate, reason }];
    });
  }
}
