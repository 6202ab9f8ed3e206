import pLimit, { type LimitFunction } from "p-limit";
import {
  type Call,
  type CapstanError,
  type Log,
  type TraceSpan,
  toCapstanError,
} from "../contracts/index.ts";
import type { ReloadMetrics } from "../telemetry/reload-metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import type { Generation } from "./generation.ts";
import type { Announce, EventDetails, ModelEventType } from "./journal.ts";
import { stepOf } from "./load-step.ts";
import { withSpan } from "./model-span.ts";
import type { ModelRegistry } from "./registry.ts";
import type { Candidate } from "./repository.ts";
import { Retirements } from "./retirements.ts";
import { withoutSecrets } from "./secrets.ts";
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
  /** Told of every step. */
  readonly journal: Announce;
  /** Has a span of each load; absent: nobody asked for traces. */
  readonly tracing?: Pick<Tracing, "begin"> | undefined;
}

/** What a step may ask of whoever looks at the folders. */
export interface Looking {
  /** Reads the folders, and does nothing about them. */
  scan(): Promise<void>;
  /** Reads the folders, and starts what has to be done, sometime. */
  reconcileSoon(): void;
  /** Told when another version serves than before. */
  swapped(): void;
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
    const abandoned = await this.#tryLoad(slot, call);
    const failure = abandoned?.reason ?? slot.failure;
    if (failure === undefined) return;
    slot.config = before;
    throw failure;
  }

  /** Resolves to the signal of a load that was given up, and with nothing where it ended well or failed. */
  async #tryLoad(slot: Slot, call: Call): Promise<AbortSignal | undefined> {
    const { fingerprint } = slot.candidate;
    let started = performance.now();
    const seconds = () => (performance.now() - started) / 1000;
    const span = this.#beginSpan(slot, call);
    const abandoned = slot.beginLoading();
    this.#tell("loading", slot);
    try {
      const { reload } = slot.candidate.settings?.parameters.extra ?? {};
      const previous = reload === "recreate" ? await this.#makeRoom(slot) : undefined;
      const generation = await this.#loads(() => {
        started = performance.now();
        const signal = AbortSignal.any([call.signal, abandoned]);
        return this.#parts.load(slot.candidate, slot.config, withSpan({ ...call, signal }, span));
      });
      this.#parts.told.loaded(slot.name, true, seconds());
      this.#swap(slot, generation, fingerprint, previous);
      span?.end();
    } catch (error) {
      span?.end(error);
      if (abandoned.aborted) return abandoned;
      this.#parts.told.loaded(slot.name, false, seconds());
      this.#refuse(slot, toCapstanError(error), fingerprint);
    } finally {
      slot.endLoading();
      // What was given up may be asked for again by now, and what is not is removed.
      if (abandoned.aborted) void this.advance(slot);
    }
    if (slot.failure !== undefined) await this.#fallBack(slot);
    return undefined;
  }

  /** Where nothing else serves, as after a restart, what served last does until this one loads. */
  async #fallBack(slot: Slot): Promise<void> {
    const isOver = this.#closing.aborted || !slot.present || this.#slots.isServed(slot);
    if (isOver || !(await this.#parts.sources.fallBack(slot.candidate))) return;
    await this.#looking.scan();
    const others = this.#slots.named(slot.name).filter((other) => other !== slot && other.present);
    await Promise.all(others.map((other) => this.advance(other)));
  }

  /**
   * A model too big to be there twice is disposed before it is loaded again, also where it is another version.
   * Resolves to the version that served.
   */
  async #makeRoom(slot: Slot): Promise<string | undefined> {
    const previous = this.#slots.servedBefore(slot)?.version;
    if (previous !== undefined) this.#tell("swap_started", slot, { previous });
    const own = this.#slots.all().filter((other) => other.candidate.key === slot.candidate.key);
    await Promise.all(own.map((each) => this.#withdraw(each)));
    return previous;
  }

  /** @param cleared the version that made room for it. */
  #swap(slot: Slot, generation: Generation, fingerprint: string, cleared: string | undefined): void {
    const what = { digest: generation.digest, generation: generation.id };
    const previous = this.#slots.servedBefore(slot)?.version;
    this.#tell("ready", slot, { ...what, reason: slot.candidate.note });
    if (previous !== undefined) this.#tell("swap_started", slot, { ...what, previous });
    const replaced = this.#parts.registry.publish(generation);
    slot.serve(generation, fingerprint);
    const { name, version } = slot;
    if (previous !== undefined) this.#parts.told.swapped(name);
    if ((previous ?? cleared) !== undefined)
      this.#tell("swapped", slot, { ...what, previous: previous ?? cleared });
    this.#looking.swapped();
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
    this.#tell("load_failed", slot, { step: stepOf(failure), reason: failure.message });
    if (passes) this.#tryLater(slot, failure);
    const fields = {
      model: slot.name,
      version: slot.version,
      folder: slot.candidate.folder,
      code: failure.code,
    };
    const serving = slot.generation === undefined ? "" : "; the previous load is still serving";
    this.#parts.log.error(fields, `model not loaded: ${withoutSecrets(failure.message)}${serving}`);
  }

  #tryLater(slot: Slot, { message: reason }: CapstanError): void {
    const pause = slot.postpone();
    const retryAt = new Date(Date.now() + pause).toISOString();
    this.#tell("retry_due", slot, { reason, retryAt });
    setTimeout(() => void this.advance(slot), pause).unref();
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
    this.#tell("drained", slot, { digest: generation.digest, generation: generation.id });
    this.#dropRemovable();
  }

  #dropRemovable(): void {
    for (const slot of this.#slots.dropRemovable()) {
      this.#parts.registry.forgetStatistics(slot.name, slot.version);
      this.#tell("removed", slot);
    }
  }

  #tell(type: ModelEventType, { candidate }: Slot, details?: EventDetails): void {
    this.#parts.journal.announce(type, candidate, details);
  }

  /** In the trace of whoever asked for the load, else in one of its own. */
  #beginSpan({ name, version, candidate }: Slot, { trace }: Call): TraceSpan | undefined {
    const attributes = {
      "capstan.model.name": name,
      "capstan.model.version": version,
      "capstan.model.revision": candidate.located?.revision,
    };
    if (trace?.recording) return trace.begin(`load ${name}`, "internal", attributes);
    return this.#parts.tracing?.begin(`load ${name}`, attributes);
  }

  #backgroundCall(slot: Slot): Call {
    return { signal: this.#closing, requestId: `load-${slot.name}`, log: this.#parts.log };
  }
}
