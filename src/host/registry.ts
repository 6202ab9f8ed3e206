import { CapstanError } from "../contracts/index.ts";
import type { LlmInfo } from "../telemetry/llm-metrics.ts";
import type { InferenceRow, ServedRow } from "../telemetry/model-metrics.ts";
import type { Generation } from "./generation.ts";
import { type Canary, inShare } from "./sources/canary.ts";
import { Statistics } from "./statistics.ts";
import { compareVersions } from "./versions.ts";

/** Says why a model that is not served is not: undefined when the name or version is not known at all. */
export type Absence = (name: string, version: string | undefined) => string | undefined;

interface Served {
  readonly versions: Map<string, Generation>;
  newest: Generation;
}

/** The version that gets a share of the requests which name none. */
export interface Share extends Canary {
  readonly version: string;
}

/**
 * The generations that are being served: what a request looks up. Publishing replaces a pointer, so a
 * request sees the old generation or the new one and never neither.
 */
export class ModelRegistry {
  readonly #models = new Map<string, Served>();
  readonly #canaries = new Map<string, Share>();
  readonly #statistics = new Map<string, Statistics>();
  readonly #absence: Absence;

  constructor(absence: Absence) {
    this.#absence = absence;
  }

  /** Serves `generation`, and returns the one it took the place of. */
  publish(generation: Generation): Generation | undefined {
    const { name, version } = generation.spec;
    const versions = this.#models.get(name)?.versions ?? new Map<string, Generation>();
    const replaced = versions.get(version);
    versions.set(version, generation);
    this.#models.set(name, { versions, newest: this.#newestOf(name, versions) });
    return replaced;
  }

  /** Stops giving out `generation`; one that was replaced already stays replaced. */
  withdraw(generation: Generation): void {
    const { name, version } = generation.spec;
    const served = this.#models.get(name);
    if (served?.versions.get(version) !== generation) return;
    served.versions.delete(version);
    if (served.versions.size === 0) this.#models.delete(name);
    else served.newest = this.#newestOf(name, served.versions);
  }

  /** The canaries there are, by the names of their models; every other version is not one. */
  setCanaries(canaries: ReadonlyMap<string, Share>): void {
    this.#canaries.clear();
    for (const [name, share] of canaries) this.#canaries.set(name, share);
    for (const [name, served] of this.#models) served.newest = this.#newestOf(name, served.versions);
  }

  canary(name: string): Share | undefined {
    return this.#canaries.get(name);
  }

  /**
   * The generation a request goes to; version absent or "" means the newest, or its canary for those in its share.
   * @param sticky stands for the caller: who was in the share stays in it.
   * @throws CapstanError NOT_FOUND, or NOT_READY for a model that is known and not served.
   */
  find(name: string, version?: string, sticky?: string): Generation {
    const served = this.#models.get(name);
    const found = version
      ? served?.versions.get(version)
      : (this.#tried(name, served, sticky) ?? served?.newest);
    if (found !== undefined) return found;
    throw this.#missing(name, version);
  }

  /** What a request without a version gets, canaries aside; undefined where nothing of that name is loaded. */
  current(name: string): Generation | undefined {
    return this.#models.get(name)?.newest;
  }

  versions(name: string): string[] {
    return [...(this.#models.get(name)?.versions.keys() ?? [])].sort(compareVersions);
  }

  *generations(): Iterable<Generation> {
    for (const served of this.#models.values()) yield* served.versions.values();
  }

  /** The counts of a model version outlive its generations. */
  statistics(name: string, version: string): Statistics {
    const key = JSON.stringify([name, version]);
    let statistics = this.#statistics.get(key);
    if (statistics === undefined) {
      statistics = new Statistics();
      this.#statistics.set(key, statistics);
    }
    return statistics;
  }

  /** The counts of every model version, in the form metrics are made of. */
  inferenceRows(): InferenceRow[] {
    return Array.from(this.#statistics, ([key, statistics]) => {
      const [name, version] = JSON.parse(key) as [string, string];
      const { counts, durations, waits, batchSizes, batchQueues } = statistics;
      return { name, version, ...counts, durations, waits, batchSizes, batchQueues };
    });
  }

  /** Every model version as it is now. */
  servedRows(): ServedRow[] {
    return Array.from(this.generations(), ({ spec, leases, admission, batcher, artifactBytes }) => ({
      name: spec.name,
      version: spec.version,
      active: leases,
      waiting: (admission?.waiting ?? 0) + (batcher?.waiting ?? 0),
      artifactBytes,
    }));
  }

  languageModelRows(): LlmInfo[] {
    return [...this.generations()]
      .filter(({ runtime }) => runtime.llm !== undefined)
      .map(({ spec: { name, version }, settings }) => ({
        name,
        version,
        implementation: settings.implementation,
      }));
  }

  forgetStatistics(name: string, version: string): void {
    this.#statistics.delete(JSON.stringify([name, version]));
  }

  #tried(name: string, served: Served | undefined, sticky: string | undefined): Generation | undefined {
    const canary = sticky === undefined || this.#canaries.size === 0 ? undefined : this.#canaries.get(name);
    if (canary === undefined || !inShare(sticky!, canary.weight)) return undefined;
    return served?.versions.get(canary.version);
  }

  /** A canary is not the newest, unless it is the only one. */
  #newestOf(name: string, versions: ReadonlyMap<string, Generation>): Generation {
    const canary = this.#canaries.get(name)?.version;
    const [newest] = [...versions.values()].sort((a, b) => {
      const last = Number(a.spec.version === canary) - Number(b.spec.version === canary);
      return last || compareVersions(b.spec.version, a.spec.version);
    });
    return newest!;
  }

  #missing(name: string, version: string | undefined): CapstanError {
    const which = version ? `Model '${name}' version '${version}'` : `Model '${name}'`;
    const reason = this.#absence(name, version || undefined);
    if (reason !== undefined) return new CapstanError("NOT_READY", `${which} is not ready: ${reason}`);
    const versions = this.versions(name);
    const hint = versions.length > 0 ? `; it has ${versions.join(", ")}` : "";
    return new CapstanError("NOT_FOUND", `${which} is not found${hint}`);
  }
}
