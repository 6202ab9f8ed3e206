import { type Call, CapstanError, type Located } from "../../contracts/index.ts";
import { locateVersion } from "../artifacts.ts";
import type { ArtifactCache } from "../cache/artifact-cache.ts";
import { splitExtra } from "../options.ts";
import type { Candidate } from "../repository.ts";
import { changeDesired, type Desired, type DesiredState } from "./desired.ts";

/** Writes down what a person decides about a model of a registry. */
export class Decisions {
  readonly #desired: DesiredState;
  readonly #cache: ArtifactCache;

  constructor(desired: DesiredState, cache: ArtifactCache) {
    this.#desired = desired;
    this.#cache = cache;
  }

  async of(model: string): Promise<Desired> {
    return (await this.#desired.latest())[model] ?? {};
  }

  async wanted(model: string, wanted: boolean): Promise<void> {
    await this.change(model, (before) => ({ ...before, wanted }));
  }

  /**
   * The version that served before the one that serves now serves again, until the alias moves.
   * @param from what the source says now.
   * @throws CapstanError NOT_FOUND when nothing else has served.
   */
  async rollback(served: Candidate, from: string): Promise<void> {
    const { sourceKey, located } = ofRegistry(served);
    const history = await this.#cache.history(sourceKey);
    const place = history.findIndex(({ revision }) => revision === located.revision);
    const to = history.find(({ left }, index) => index > place && !left);
    if (to === undefined)
      throw new CapstanError("NOT_FOUND", `Model '${served.name}' has no earlier version that served here`);
    await this.change(served.name, (before) => ({ ...kept(before), rollback: { from, to } }));
  }

  /**
   * Stays on a version. Absent: the one that serves.
   * @throws CapstanError NOT_FOUND, UNSUPPORTED where the source cannot be asked for one version, or what it says.
   */
  async pin(served: Candidate, version: string | undefined, call: Call): Promise<void> {
    const pin = await this.#versionOf(served, version, call);
    await this.change(served.name, (before) => ({ ...kept(before), pin }));
  }

  /** Follows the alias again, and tries a canary again that was taken back. */
  async unpin(model: string): Promise<void> {
    await this.change(model, ({ wanted }) => given({ wanted }));
  }

  async stopCanary(model: string, stoppedCanary: NonNullable<Desired["stoppedCanary"]>): Promise<void> {
    await this.change(model, (before) => ({ ...before, stoppedCanary }));
  }

  async change(model: string, next: (before: Desired) => Desired): Promise<void> {
    await changeDesired(this.#desired, model, next);
  }

  async #versionOf(candidate: Candidate, version: string | undefined, call: Call): Promise<Located> {
    const { located, sourceKey } = ofRegistry(candidate);
    if (version === undefined || version === located.version) return located;
    const served = (await this.#cache.history(sourceKey)).find((each) => each.version === version);
    if (served !== undefined) return served;
    const { source } = splitExtra(candidate.settings!.parameters.extra);
    return locateVersion(candidate.settings!.parameters.uri!, version, source, call);
  }
}

/**
 * @throws CapstanError UNSUPPORTED for a model whose files are in its folder, NOT_READY for one that cannot be read,
 *   or whose registry has never answered.
 */
function ofRegistry({ name, located, sourceKey, error }: Candidate) {
  if (located !== undefined && sourceKey !== undefined) return { located, sourceKey };
  if (error !== undefined)
    throw new CapstanError("NOT_READY", `Model '${name}' is not ready: ${error.message}`);
  const message = `Model '${name}' is not of a registry: what is in its folder is what is served`;
  throw new CapstanError("UNSUPPORTED", message);
}

/** What another decision about versions leaves as it is. */
const kept = ({ wanted, stoppedCanary }: Desired) => given({ wanted, stoppedCanary });

/** Without what is undefined, so that an empty decision is none. */
function given<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}
