import pLimit from "p-limit";
import { CapstanError } from "../contracts/index.ts";
import type { Generation } from "./generation.ts";
import type { Candidate } from "./repository.ts";
import { withoutSecrets } from "./secrets.ts";
import type { IndexEntry, ModelDetails, ModelState } from "./types.ts";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 5 * 60 * 1000;

/** One model version, or one broken folder, that the reconciler looks after. */
export class Slot {
  /** What the last scan found. */
  candidate: Candidate;
  /** False when the last scan no longer found it. */
  present = true;
  /** False after an unload call: a person's decision that scans do not undo. */
  wanted: boolean;
  /** The settings override of the last load call. */
  config: string | undefined;
  generation: Generation | undefined;
  /** Once true, a later failure does not make the server unready. */
  everLoaded = false;
  /** Of the load under way. */
  #loading: AbortController | undefined;
  draining = 0;
  failure: CapstanError | undefined;
  servedFingerprint: string | undefined;
  /** A revision that does not load is not tried again until it changes. */
  refusedFingerprint: string | undefined;
  /** After a fault of a registry or the network: when it is tried again, in milliseconds since the epoch. */
  #retryAt = 0;
  #faults = 0;
  /** Of the folder, when it was last taken for settled or looked at. */
  #seenFingerprint: string | undefined;
  /** One step at a time for each model. */
  readonly inTurn = pLimit(1);

  /** @param before served what came from the same folder. */
  constructor(candidate: Candidate, wanted: boolean, before?: Slot) {
    this.candidate = candidate;
    this.wanted = wanted;
    this.#seenFingerprint = before === undefined ? undefined : before.#seenFingerprint;
  }

  get name(): string {
    return this.candidate.name;
  }

  get version(): string {
    return this.candidate.version;
  }

  /** Never while it loads: what another slot served in its place would be replaced when the load is done. */
  get removable(): boolean {
    return !this.present && this.generation === undefined && this.draining === 0 && !this.loading;
  }

  get loading(): boolean {
    return this.#loading !== undefined;
  }

  /** Begins a load. Returns the signal of {@link abandon}. */
  beginLoading(): AbortSignal {
    this.#loading = new AbortController();
    return this.#loading.signal;
  }

  endLoading(): void {
    this.#loading = undefined;
  }

  /** Nobody asks for the version any more: a load of it that is under way ends. */
  abandon(): void {
    const message = `Model '${this.name}' version '${this.version}' is no longer asked for: its load was given up`;
    this.#loading?.abort(new CapstanError("CANCELLED", message));
  }

  get waiting(): boolean {
    return this.present && this.wanted && this.generation === undefined;
  }

  /** True when the folder as it is now was neither loaded nor refused yet. */
  get changed(): boolean {
    const { fingerprint } = this.candidate;
    if (fingerprint === this.servedFingerprint || fingerprint === this.refusedFingerprint) return false;
    return Date.now() >= this.#retryAt;
  }

  /** What cannot be had now is tried again, later each time. Returns after how many milliseconds it is changed again. */
  postpone(): number {
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#faults);
    this.#retryAt = Date.now() + pause;
    this.#faults += 1;
    // A timer may be early by a millisecond.
    return pause + 10;
  }

  /**
   * True when two scans in a row saw the same files, so that nobody is still writing them. Whether a registry has
   * settled is for its source to say.
   */
  settle(): boolean {
    const now = this.#folderFingerprint;
    const settled = this.#seenFingerprint === now;
    this.#seenFingerprint = now;
    return settled;
  }

  get #folderFingerprint(): string {
    return this.candidate.folderFingerprint ?? this.candidate.fingerprint;
  }

  serve(generation: Generation, fingerprint: string): void {
    this.generation = generation;
    this.servedFingerprint = fingerprint;
    this.#seenFingerprint = this.#folderFingerprint;
    this.refusedFingerprint = undefined;
    this.failure = undefined;
    this.#retryAt = 0;
    this.#faults = 0;
    this.everLoaded = true;
  }

  /** What was loaded is no longer served; the caller retires it. */
  takeGeneration(): Generation | undefined {
    const taken = this.generation;
    this.generation = undefined;
    this.servedFingerprint = undefined;
    return taken;
  }

  entry(): IndexEntry {
    return { name: this.name, version: this.version, state: this.#state(), reason: this.reason() };
  }

  details(): Omit<ModelDetails, keyof IndexEntry> {
    const { located, raw, note, canary } = this.candidate;
    const { uri } = (raw?.parameters ?? {}) as { uri?: string };
    return {
      uri: uri && withoutSecrets(uri),
      revision: located?.revision,
      digest: this.generation?.digest,
      loadedAt: this.generation?.loadedAt,
      generation: this.generation?.id,
      note,
      canaryWeight: canary?.weight,
    };
  }

  /** For everybody who may see that the model is there. */
  reason(): string {
    return withoutSecrets(this.#reason());
  }

  #reason(): string {
    if (this.failure !== undefined) {
      const kept = this.generation === undefined ? "" : "; the previous load is still serving";
      return `${this.failure.message}${kept}`;
    }
    if (this.generation !== undefined) return this.candidate.note ?? "";
    if (this.loading) return "loading";
    if (!this.present && this.candidate.located === undefined) return "removed from the repository";
    if (!this.present) return "no longer asked for: its folder is gone, or another version takes its place";
    return this.wanted ? "waiting to be loaded" : "unloaded";
  }

  #state(): ModelState {
    if (this.generation !== undefined) return "READY";
    if (this.loading) return "LOADING";
    return this.draining > 0 ? "UNLOADING" : "UNAVAILABLE";
  }
}
