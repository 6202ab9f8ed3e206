import pLimit, { type LimitFunction } from "p-limit";
import { type Call, CapstanError, type Log, toCapstanError } from "../contracts/index.ts";
import type { ReloadMetrics } from "../telemetry/reload-metrics.ts";
import type { Generation } from "./generation.ts";
import type { ModelRegistry } from "./registry.ts";
import type { Candidate } from "./repository.ts";
import { Retirements } from "./retirements.ts";
import type { Slot } from "./slot.ts";
import { Slots } from "./slots.ts";
import { CanaryControl } from "./sources/canary-control.ts";
import type { Decisions } from "./sources/decisions.ts";
import type { Sources } from "./sources/sources.ts";
import type { IndexEntry, ModelDetails, RepositoryControl } from "./types.ts";
import { compareVersions } from "./versions.ts";

/** How long a changed folder must stay the same before it is loaded. */
const SETTLE_MS = 200;
/** How often canaries are held against their limits, besides every scan. */
const CANARY_WATCH_MS = 1000;

export interface ReconcilerParts {
  scan(): Promise<readonly Candidate[]>;
  load(candidate: Candidate, config: string | undefined, call: Call): Promise<Generation>;
  readonly registry: ModelRegistry;
  readonly log: Log;
  /** Longest wait for requests in flight on a retired generation, in milliseconds; 0 waits without end. */
  readonly drainMs: number;
  /** How many models load at once. */
  readonly concurrency: number;
  readonly loadAtStartup: boolean;
  readonly readiness: "all" | "settled";
  /** Told of every finished load, and of what it led to. */
  readonly told: Pick<ReloadMetrics, "loaded" | "swapped" | "canaryStopped">;
  /** What the folders stand for whose artifacts lie in registries, and what people decided about them. */
  readonly sources: Pick<Sources, "apply" | "look" | "revision" | "fallBack" | "recovered">;
  readonly decisions: Decisions;
}

/**
 * Makes what is served follow what should be: the folders of the repository, and the load and unload calls
 * of people. Every step is load, then swap, then drain; one that fails leaves the old generation serving.
 */
export class Reconciler implements RepositoryControl {
  readonly #parts: ReconcilerParts;
  readonly #slots: Slots;
  readonly #loads: LimitFunction;
  readonly #scans = pLimit(1);
  readonly #retirements: Retirements;
  readonly #closing = new AbortController();
  #atStart: readonly Slot[] | undefined;
  #rescan: NodeJS.Timeout | undefined;
  #canaryWatch: NodeJS.Timeout | undefined;
  readonly #canaries = new CanaryControl();
  readonly #verdicts = pLimit(1);

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#slots = new Slots(parts.loadAtStartup);
    this.#loads = pLimit(parts.concurrency);
    this.#retirements = new Retirements(parts.drainMs, parts.log);
  }

  /** Loads what is there; resolves when every model is loaded or refused. */
  async start(): Promise<void> {
    await this.#scan();
    const slots = this.#slots.all();
    await Promise.all(slots.map((slot) => this.#advance(slot)));
    this.#atStart = slots;
    if (this.#closing.signal.aborted) return;
    this.#canaryWatch = setInterval(() => {
      if (this.#beyond().length > 0) void this.reconcile().catch(this.#logScanFault);
    }, CANARY_WATCH_MS).unref();
  }

  /** Looks at the folders again, and starts what has to be done; does not wait for loads. */
  async reconcile(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    await this.#scan();
    await this.#verdicts(() => this.#takeBack());
    for (const slot of this.#slots.all()) {
      if (slot.present && slot.changed && !slot.settle()) this.#rescanSoon();
      else void this.#advance(slot);
    }
  }

  /** A canary beyond its limits is taken back, and not tried again until it is another revision. */
  async #takeBack(): Promise<void> {
    for (const { candidate, reason } of this.#beyond()) {
      const fields = { model: candidate.name, version: candidate.version };
      this.#parts.log.warn(fields, `canary taken back: ${reason}`);
      this.#parts.told.canaryStopped(candidate.name);
      const stopped = {
        revision: candidate.located!.revision,
        reason: `canary ${candidate.version}: ${reason}`,
      };
      await this.#parts.decisions.stopCanary(candidate.name, stopped);
      await this.#scan();
    }
  }

  #beyond = () => this.#canaries.beyond(this.#slots.all(), this.#parts.registry);

  /** What `readiness` asks for; a model that came or failed later never makes a server unready. */
  ready(): boolean {
    if (this.#atStart === undefined || this.#closing.signal.aborted) return false;
    if (this.#parts.readiness === "settled") return true;
    return this.#atStart.every(
      (slot) => slot.everLoaded || !slot.present || !slot.wanted || this.#slots.isServed(slot),
    );
  }

  index(options: { readonly ready?: boolean } = {}): readonly IndexEntry[] {
    const entries = this.#slots.all().map((slot) => slot.entry());
    const shown = options.ready ? entries.filter((entry) => entry.state === "READY") : entries;
    return shown.sort((a, b) =>
      a.name < b.name ? -1 : a.name > b.name ? 1 : compareVersions(a.version, b.version),
    );
  }

  /** Why a model is not served; undefined when nothing is known of it. */
  absence(name: string, version: string | undefined): string | undefined {
    const slots = this.#slots.named(name).filter((slot) => version === undefined || slot.version === version);
    return slots.length === 0 ? undefined : slots.map((slot) => slot.reason()).join("; ");
  }

  async load(model: string, config: string | undefined, call: Call): Promise<void> {
    await this.#parts.sources.look({ model });
    await this.#scan();
    this.#present(model);
    await this.#parts.decisions.wanted(model, true);
    await this.#scan();
    const slots = this.#present(model);
    await Promise.all(slots.map((slot) => slot.inTurn(() => this.#loadNow(slot, config, call))));
  }

  async unload(model: string): Promise<void> {
    const slots = this.#present(model);
    for (const slot of slots) slot.wanted = false;
    await this.#parts.decisions.wanted(model, false);
    await Promise.all(slots.map((slot) => this.#advance(slot)));
  }

  details(): readonly ModelDetails[] {
    return this.index().map((entry) => {
      const slot = this.#slots.named(entry.name).find(({ version }) => version === entry.version);
      return { ...entry, ...slot?.details() };
    });
  }

  async rollback(model: string, call: Call): Promise<void> {
    await this.#decide(model, call, async (candidate) => {
      const from = await this.#parts.sources.revision(candidate);
      await this.#parts.decisions.rollback(candidate, from ?? candidate.located?.revision ?? "");
    });
  }

  async pin(model: string, version: string | undefined, call: Call): Promise<void> {
    await this.#decide(model, call, (candidate) => this.#parts.decisions.pin(candidate, version, call));
  }

  async unpin(model: string, call: Call): Promise<void> {
    await this.#decide(model, call, () => this.#parts.decisions.unpin(model));
  }

  async notify(changed: {
    readonly model?: string | undefined;
    readonly uri?: string | undefined;
  }): Promise<void> {
    if (await this.#parts.sources.look(changed)) return this.reconcile();
    const what = changed.uri === undefined ? `model '${changed.model}'` : `uri '${changed.uri}'`;
    throw new CapstanError("NOT_FOUND", `Nothing here comes from a registry for the ${what}`);
  }

  /** Writes a decision down and carries it out; one that cannot be carried out is taken back. */
  async #decide(model: string, call: Call, decide: (candidate: Candidate) => Promise<void>): Promise<void> {
    const { decisions } = this.#parts;
    const before = await decisions.of(model);
    const serving = this.#present(model).find(({ generation, candidate }) => generation && !candidate.canary);
    const slot = serving ?? this.#present(model)[0]!;
    await decide(slot.candidate);
    await this.#scan();
    const slots = this.#slots.named(model).filter(({ present }) => present);
    for (const each of slots) if (each.failure) each.refusedFingerprint = undefined;
    await Promise.all(slots.map((each) => each.inTurn(() => this.#carryOut(each, call))));
    const failure = slots.find(({ failure: fault }) => fault !== undefined)?.failure;
    if (failure === undefined) return;
    await decisions.change(model, () => before);
    await this.reconcile();
    throw failure;
  }

  async #carryOut(slot: Slot, call: Call): Promise<void> {
    if (slot.wanted && slot.changed) await this.#tryLoad(slot, call);
  }

  /** Stops looking, retires every generation, and resolves when the last one is disposed. */
  async close(): Promise<void> {
    this.#closing.abort(new CapstanError("CANCELLED", "The server is stopping"));
    clearTimeout(this.#rescan);
    clearInterval(this.#canaryWatch);
    await Promise.all(this.#slots.all().map((slot) => slot.inTurn(() => this.#withdraw(slot))));
    await this.#retirements.settled();
  }

  #present(model: string): Slot[] {
    const slots = this.#slots.named(model).filter((slot) => slot.present);
    if (slots.length > 0) return slots;
    throw new CapstanError("NOT_FOUND", `Model '${model}' is not in the repository`);
  }

  #scan(): Promise<void> {
    return this.#scans(async () => {
      const candidates = await this.#parts.sources.apply(await this.#parts.scan());
      this.#slots.update(candidates);
      this.#parts.registry.setCanaries(this.#canaries.shares(candidates));
    });
  }

  #rescanSoon(): void {
    clearTimeout(this.#rescan);
    this.#rescan = setTimeout(() => void this.reconcile().catch(this.#logScanFault), SETTLE_MS);
  }

  #logScanFault = (error: unknown) =>
    this.#parts.log.error({ err: error }, "The repository could not be read");

  #advance(slot: Slot): Promise<void> {
    return slot.inTurn(() => this.#step(slot));
  }

  /** Decides at its turn, so that a step asked for earlier does not act on what is no longer so. */
  async #step(slot: Slot): Promise<void> {
    if (this.#closing.signal.aborted) return;
    if (!slot.wanted || !slot.present) return this.#remove(slot);
    if (slot.candidate.fingerprint === slot.servedFingerprint) slot.failure = undefined;
    if (slot.changed) await this.#tryLoad(slot, this.#backgroundCall(slot));
  }

  async #loadNow(slot: Slot, config: string | undefined, call: Call): Promise<void> {
    const before = slot.config;
    slot.wanted = true;
    slot.config = config;
    await this.#tryLoad(slot, call);
    if (slot.failure === undefined) return;
    slot.config = before;
    throw slot.failure;
  }

  async #tryLoad(slot: Slot, call: Call): Promise<void> {
    const { fingerprint } = slot.candidate;
    let started = performance.now();
    const seconds = () => (performance.now() - started) / 1000;
    slot.loading = true;
    try {
      if (slot.candidate.settings?.parameters.extra.reload === "recreate") await this.#makeRoom(slot);
      const generation = await this.#loads(() => {
        started = performance.now();
        return this.#parts.load(slot.candidate, slot.config, call);
      });
      this.#parts.told.loaded(slot.name, true, seconds());
      this.#swap(slot, generation, fingerprint);
    } catch (error) {
      this.#parts.told.loaded(slot.name, false, seconds());
      this.#refuse(slot, toCapstanError(error), fingerprint);
    } finally {
      slot.loading = false;
    }
    if (slot.failure !== undefined) await this.#fallBack(slot);
  }

  /** Where nothing else serves, as after a restart, what served last does until this one loads. */
  async #fallBack(slot: Slot): Promise<void> {
    const isOver = this.#closing.signal.aborted || !slot.present || this.#slots.isServed(slot);
    if (isOver || !(await this.#parts.sources.fallBack(slot.candidate))) return;
    await this.#scan();
    const others = this.#slots.named(slot.name).filter((other) => other !== slot && other.present);
    await Promise.all(others.map((other) => this.#advance(other)));
  }

  /** A model too big to be there twice is disposed before it is loaded again, also where it is another version. */
  async #makeRoom(slot: Slot): Promise<void> {
    const own = this.#slots.all().filter((other) => other.candidate.key === slot.candidate.key);
    await Promise.all(own.map((each) => this.#withdraw(each)));
  }

  #swap(slot: Slot, generation: Generation, fingerprint: string): void {
    const replaced = this.#parts.registry.publish(generation);
    slot.serve(generation, fingerprint);
    const { name, version } = slot;
    const isSuccession = this.#slots.all().some((other) => isPredecessor(other, slot) && other.generation);
    if (replaced !== undefined || isSuccession) this.#parts.told.swapped(name);
    this.#parts.log.info({ model: name, version, generation: generation.id }, "model loaded");
    if (replaced !== undefined) void this.#retire(slot, replaced);
    if (this.#parts.sources.recovered(slot.candidate)) void this.reconcile().catch(this.#logScanFault);
    for (const other of this.#slots.all()) if (!other.present && other !== slot) void this.#advance(other);
  }

  #refuse(slot: Slot, failure: CapstanError, fingerprint: string): void {
    slot.failure = failure;
    // A fault of a registry or the network passes: it is tried again.
    const passes = failure.code === "UPSTREAM" || failure.code === "NOT_READY";
    slot.refusedFingerprint = passes ? undefined : fingerprint;
    if (passes) setTimeout(() => void this.#advance(slot), slot.postpone()).unref();
    const fields = {
      model: slot.name,
      version: slot.version,
      folder: slot.candidate.folder,
      code: failure.code,
    };
    const serving = slot.generation === undefined ? "" : "; the previous load is still serving";
    this.#parts.log.error(fields, `model not loaded: ${failure.message}${serving}`);
  }

  #remove(slot: Slot): void {
    if (!slot.present && this.#slots.successorOf(slot) !== undefined) return;
    slot.failure = undefined;
    slot.refusedFingerprint = undefined;
    void this.#withdraw(slot);
    this.#dropRemovable();
  }

  /** Resolves when what served is disposed. */
  async #withdraw(slot: Slot): Promise<void> {
    const generation = slot.takeGeneration();
    if (generation === undefined) return;
    this.#parts.registry.withdraw(generation);
    this.#parts.log.info({ model: slot.name, version: slot.version }, "model unloading");
    await this.#retire(slot, generation);
  }

  async #retire(slot: Slot, generation: Generation): Promise<void> {
    slot.draining += 1;
    await this.#retirements.retire(generation);
    slot.draining -= 1;
    this.#dropRemovable();
  }

  #dropRemovable(): void {
    for (const slot of this.#slots.dropRemovable())
      this.#parts.registry.forgetStatistics(slot.name, slot.version);
  }

  #backgroundCall(slot: Slot): Call {
    return { signal: this.#closing.signal, requestId: `load-${slot.name}`, log: this.#parts.log };
  }
}

/** Whether a version that is no longer wanted came from where this one comes from. */
const isPredecessor = (other: Slot, slot: Slot): boolean =>
  other !== slot && !other.present && other.candidate.key === slot.candidate.key;
