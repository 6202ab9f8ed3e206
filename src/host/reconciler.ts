import pLimit from "p-limit";
import { type Call, CapstanError } from "../contracts/index.ts";
import type { ReloadMetrics } from "../telemetry/reload-metrics.ts";
import type { ModelEventType } from "./journal.ts";
import type { Candidate } from "./repository.ts";
import type { Slot } from "./slot.ts";
import { Slots } from "./slots.ts";
import { CanaryControl } from "./sources/canary-control.ts";
import { CanaryNews } from "./sources/canary-news.ts";
import type { Decisions } from "./sources/decisions.ts";
import type { Sources } from "./sources/sources.ts";
import { type SwapParts, Swaps } from "./swaps.ts";
import type { IndexEntry, ModelDetails, RepositoryControl } from "./types.ts";
import { compareVersions } from "./versions.ts";

/** How long a changed folder must stay the same before it is loaded. */
const SETTLE_MS = 200;
/** How often canaries are held against their limits, besides every scan. */
const CANARY_WATCH_MS = 1000;

export interface ReconcilerParts extends SwapParts {
  scan(): Promise<readonly Candidate[]>;
  readonly loadAtStartup: boolean;
  readonly readiness: "all" | "settled";
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
  readonly #swaps: Swaps;
  readonly #scans = pLimit(1);
  readonly #closing = new AbortController();
  #atStart: readonly Slot[] | undefined;
  #rescan: NodeJS.Timeout | undefined;
  #canaryWatch: NodeJS.Timeout | undefined;
  readonly #canaries = new CanaryControl();
  readonly #canaryNews: CanaryNews;
  readonly #verdicts = pLimit(1);

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#slots = new Slots(parts.loadAtStartup);
    this.#canaryNews = new CanaryNews(parts.journal);
    const looking = {
      scan: () => this.#scan(),
      reconcileSoon: () => this.#reconcileSoon(),
      swapped: () => this.#canaryNews.look(this.#slots.all()),
    };
    this.#swaps = new Swaps(parts, this.#slots, looking, this.#closing.signal);
  }

  /** Loads what is there; resolves when every model is loaded or refused. */
  async start(): Promise<void> {
    await this.#scan();
    const slots = this.#slots.all();
    await Promise.all(slots.map((slot) => this.#swaps.advance(slot)));
    this.#atStart = slots;
    if (this.#closing.signal.aborted) return;
    this.#canaryWatch = setInterval(() => {
      if (this.#beyond().length > 0) this.#reconcileSoon();
    }, CANARY_WATCH_MS).unref();
  }

  /** Looks at the folders again, and starts what has to be done; does not wait for loads. */
  async reconcile(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    await this.#scan();
    await this.#verdicts(() => this.#takeBack());
    for (const slot of this.#slots.all()) {
      if (slot.present && slot.changed && !slot.settle()) this.#rescanSoon();
      else void this.#swaps.advance(slot);
    }
  }

  /** A canary beyond its limits is taken back, and not tried again until it is another revision. */
  async #takeBack(): Promise<void> {
    for (const { candidate, reason } of this.#beyond()) {
      const fields = { model: candidate.name, version: candidate.version };
      this.#parts.log.warn(fields, `canary taken back: ${reason}`);
      this.#parts.told.canaryStopped(candidate.name);
      this.#parts.journal.announce("canary_rolled_back", candidate, { reason });
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
    await Promise.all(slots.map((slot) => this.#swaps.load(slot, config, call)));
  }

  async unload(model: string): Promise<void> {
    const slots = this.#present(model);
    for (const slot of slots) slot.wanted = false;
    await this.#parts.decisions.wanted(model, false);
    await Promise.all(slots.map((slot) => this.#swaps.advance(slot)));
  }

  details(): readonly ModelDetails[] {
    return this.index().map((entry) => {
      const slot = this.#slots.named(entry.name).find(({ version }) => version === entry.version);
      return { ...entry, ...slot?.details() };
    });
  }

  async rollback(model: string, call: Call): Promise<void> {
    await this.#decide("rolled_back", model, call, async (candidate) => {
      const from = await this.#parts.sources.revision(candidate);
      await this.#parts.decisions.rollback(candidate, from ?? candidate.located?.revision ?? "");
    });
  }

  async pin(model: string, version: string | undefined, call: Call): Promise<void> {
    await this.#decide("pinned", model, call, (served) => this.#parts.decisions.pin(served, version, call));
  }

  async unpin(model: string, call: Call): Promise<void> {
    await this.#decide("unpinned", model, call, () => this.#parts.decisions.unpin(model));
  }

  async notify(changed: {
    readonly model?: string | undefined;
    readonly uri?: string | undefined;
  }): Promise<void> {
    if (await this.#parts.sources.look(changed)) return this.reconcile();
    const what = changed.uri === undefined ? `model '${changed.model}'` : `uri '${changed.uri}'`;
    throw new CapstanError("NOT_FOUND", `Nothing here comes from a registry for the ${what}`);
  }

  /**
   * Writes a decision down and carries it out; one that cannot be carried out is taken back. Not the one to follow the
   * registry again: what it names is then not loaded as at any other time, and what serves goes on.
   */
  async #decide(
    decision: "rolled_back" | "pinned" | "unpinned",
    model: string,
    call: Call,
    decide: (candidate: Candidate) => Promise<void>,
  ): Promise<void> {
    const { decisions } = this.#parts;
    const before = await decisions.of(model);
    const serving = this.#present(model).find(({ generation, candidate }) => generation && !candidate.canary);
    const slot = serving ?? this.#present(model)[0]!;
    await decide(slot.candidate);
    await this.#scan();
    const slots = this.#slots.named(model).filter(({ present }) => present);
    for (const each of slots) if (each.failure) each.refusedFingerprint = undefined;
    await Promise.all(slots.map((each) => this.#swaps.carryOut(each, call)));
    const failure = slots.find(({ failure: fault }) => fault !== undefined)?.failure;
    if (failure === undefined || decision === "unpinned") {
      this.#tell(decision, slots, call);
      const gone = this.#slots.named(model).filter(({ present, loading }) => !present && !loading);
      await Promise.all(gone.map((each) => this.#swaps.advance(each)));
      return;
    }
    await decisions.change(model, () => before);
    await this.reconcile();
    throw failure;
  }

  /** Of the versions that serve now, a canary is none that was decided on. */
  #tell(decision: ModelEventType, slots: readonly Slot[], { principal }: Call): void {
    const decided = slots.find(({ candidate }) => !candidate.canary);
    if (decided) this.#parts.journal.announce(decision, decided.candidate, { by: principal?.id });
  }

  /** Stops looking, retires every generation, and resolves when the last one is disposed. */
  async close(): Promise<void> {
    this.#closing.abort(new CapstanError("CANCELLED", "The server is stopping"));
    clearTimeout(this.#rescan);
    clearInterval(this.#canaryWatch);
    await this.#swaps.close();
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
      this.#parts.registry.setCanaries(this.#canaries.shares(this.#slots.all()));
      this.#canaryNews.look(this.#slots.all());
    });
  }

  #rescanSoon(): void {
    clearTimeout(this.#rescan);
    this.#rescan = setTimeout(() => this.#reconcileSoon(), SETTLE_MS);
  }

  #reconcileSoon(): void {
    this.reconcile().catch((err) => this.#parts.log.error({ err }, "The repository could not be read"));
  }
}
