import pLimit, { type LimitFunction } from "p-limit";
import { type Call, type CapstanError, type Log, toCapstanError } from "../contracts/index.ts";
import type { ReloadMetrics } from "../telemetry/reload-metrics.ts";
import type { Generation } from "./generation.ts";
import type { ModelRegistry } from "./registry.ts";
import type { Candidate } from "./repository.ts";
import { Retirements } from "./retirements.ts";
import type { Slot } from "./slot.ts";
import type { Slots } from "./slots.ts";
import type { Sources } from "./sources/sources.ts";

export interface SwapParts {
  load(candidate: Candidate, config: string | undefined, call: Call): Promise<Generation>;
  readonly registry: ModelRegistry;
  readonly log: Log;
  /** Longest wait for requests in flight on a retired generation, in milliseconds; 0 waits without end. */
  readonly drainMs: number;
  /** How many models load at once. */
  readonly concurrency: number;
  /** Told of every finished load, and of what it led to. */
  readonly told: Pick<ReloadMetrics, "loaded" | "swapped">;
  readonly sources: Pick<Sources, "fallBack" | "recovered">;
}

/** What a step may ask of whoever looks at the folders. */
export interface Looking {
  /** Reads the folders, and does nothing about them. */
  scan(): Promise<void>;
  /** Reads the folders, and starts what has to be done, sometime. */
  reconcileSoon(): void;
}

/** The steps of one model version: load, then swap, then drain; one that fails leaves the old generation serving. */
export class Swaps {
  readonly #parts: SwapParts;
  readonly #slots: Slots;
  readonly #looking: Looking;
  readonly #closing: AbortSignal;
  readonly #loads: LimitFunction;
  readonly #retirements: Retirements;

  constructor(parts: SwapParts, slots: Slots, looking: Looking, closing: AbortSignal) {
    this.#parts = parts;
    this.#slots = slots;
    this.#looking = looking;
    this.#closing = closing;
    this.#loads = pLimit(parts.concurrency);
    this.#retirements = new Retirements(parts.drainMs, parts.log);
  }

  /** Does at its turn what has to be done then. */
  advance(slot: Slot): Promise<void> {
    return slot.inTurn(() => this.#step(slot));
  }

  /** Loads at its turn what a person asked for. @throws CapstanError why it does not load. */
  load(slot: Slot, config: string | undefined, call: Call): Promise<void> {
    return slot.inTurn(() => this.#loadNow(slot, config, call));
  }

  /** Loads at its turn what a decision changed; whether that failed is seen at the slot. */
  carryOut(slot: Slot, call: Call): Promise<void> {
    return slot.inTurn(async () => {
      if (slot.wanted && slot.changed) await this.#tryLoad(slot, call);
    });
  }

  /** Retires every generation, and resolves when the last one is disposed. */
  async close(): Promise<void> {
    await Promise.all(this.#slots.all().map((slot) => slot.inTurn(() => this.#withdraw(slot))));
    await this.#retirements.settled();
  }

  /** Decides at its turn, so that a step asked for earlier does not act on what is no longer so. */
  async #step(slot: Slot): Promise<void> {
    if (this.#closing.aborted) return;
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
    const isOver = this.#closing.aborted || !slot.present || this.#slots.isServed(slot);
    if (isOver || !(await this.#parts.sources.fallBack(slot.candidate))) return;
    await this.#looking.scan();
    const others = this.#slots.named(slot.name).filter((other) => other !== slot && other.present);
    await Promise.all(others.map((other) => this.advance(other)));
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
    if (this.#parts.sources.recovered(slot.candidate)) this.#looking.reconcileSoon();
    for (const other of this.#slots.all()) if (!other.present && other !== slot) void this.advance(other);
  }

  #refuse(slot: Slot, failure: CapstanError, fingerprint: string): void {
    slot.failure = failure;
    // A fault of a registry or the network passes: it is tried again.
    const passes = failure.code === "UPSTREAM" || failure.code === "NOT_READY";
    slot.refusedFingerprint = passes ? undefined : fingerprint;
    if (passes) setTimeout(() => void this.advance(slot), slot.postpone()).unref();
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
    return { signal: this.#closing, requestId: `load-${slot.name}`, log: this.#parts.log };
  }
}

/** Whether a version that is no longer wanted came from where this one comes from. */
const isPredecessor = (other: Slot, slot: Slot): boolean =>
  other !== slot && !other.present && other.candidate.key === slot.candidate.key;
