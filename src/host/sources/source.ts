import { type Call, CapstanError, type Located, type Log, toCapstanError } from "../../contracts/index.ts";
import { withoutSecrets } from "../secrets.ts";

/** Longest pause between looks at a registry that fails. */
const LONGEST_PAUSE_MS = 5 * 60 * 1000;
/** A change is believed when a second look, so much later, sees the same. */
const SETTLE_MS = 50;
/** Looks of many servers spread; none is later than its settings say. */
const JITTER = 0.2;

export interface SourceParts {
  readonly uri: string;
  readonly pollMs: number;
  readonly log: Log;
  locate(call: Call): Promise<Located>;
  /** Told when what the uri stands for is another than before. */
  changed(): void;
}

/** One uri of a registry, and what it stands for now. Looked at again and again, with jitter, and rarely while it fails. */
export class Source implements AsyncDisposable {
  readonly #parts: SourceParts;
  readonly #closing = new AbortController();
  #located: Located | undefined;
  #fault: CapstanError | undefined;
  #failures = 0;
  #lookedAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(parts: SourceParts) {
    this.#parts = parts;
  }

  get located(): Located | undefined {
    return this.#located;
  }

  /** Why the last look failed. */
  get fault(): CapstanError | undefined {
    return this.#fault;
  }

  /** Milliseconds since the epoch of the last look that succeeded. */
  get lookedAt(): number | undefined {
    return this.#lookedAt;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Looks now, and after a look that is under way: its answer may be from before the change. Never rejects. */
  look(): Promise<void> {
    if (this.#looking === undefined) return this.#begin();
    this.#next ??= this.#looking.then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#closing.abort(new CapstanError("CANCELLED", "The server is stopping"));
    await (this.#next ?? this.#looking);
  }

  #begin(): Promise<void> {
    clearTimeout(this.#timer);
    const began = performance.now();
    const looking = this.#look().then(() => {
      this.#looking = undefined;
      if (this.#next === undefined) this.#schedule(performance.now() - began);
    });
    this.#looking = looking;
    return looking;
  }

  async #look(): Promise<void> {
    const call: Call = {
      signal: this.#closing.signal,
      requestId: `look-${this.#parts.uri}`,
      log: this.#parts.log,
    };
    // Whoever asks first waits for the answer, and need not be told.
    const isFirst = this.#located === undefined && this.#fault === undefined;
    try {
      const seen = await this.#settled(call);
      const isBack = this.#fault !== undefined;
      const isOther = this.#located?.revision !== seen.revision || this.#located.version !== seen.version;
      this.#located = seen;
      this.#fault = undefined;
      this.#failures = 0;
      this.#lookedAt = Date.now();
      if ((isBack || isOther) && !isFirst) this.#parts.changed();
    } catch (error) {
      this.#failed(toCapstanError(error), isFirst);
    }
  }

  /** The first look is believed at once: nothing serves that could be lost. */
  async #settled(call: Call): Promise<Located> {
    for (let seen = await this.#parts.locate(call); ; ) {
      if (this.#located === undefined || seen.revision === this.#located.revision) return seen;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      call.signal.throwIfAborted();
      const again = await this.#parts.locate(call);
      if (again.revision === seen.revision) return again;
      seen = again;
    }
  }

  #failed(error: CapstanError, isFirst: boolean): void {
    if (this.#closing.signal.aborted) return;
    const isNew = this.#fault?.message !== error.message;
    this.#fault = error;
    this.#failures += 1;
    const fields = { uri: withoutSecrets(this.#parts.uri), code: error.code, failures: this.#failures };
    if (isNew)
      this.#parts.log.warn(fields, `the registry was asked in vain: ${withoutSecrets(error.message)}`);
    if (isNew && !isFirst) this.#parts.changed();
  }

  /** @param took milliseconds of the last look: polls are from beginning to beginning, unless looks are slow. */
  #schedule(took: number): void {
    if (this.#closing.signal.aborted || this.#parts.pollMs === 0) return;
    const { pollMs } = this.#parts;
    const later = Math.min(LONGEST_PAUSE_MS, pollMs * 2 ** Math.min(this.#failures, 16));
    const jittered = Math.max(pollMs, later) * (1 - JITTER * Math.random());
    this.#timer = setTimeout(() => void this.look(), Math.max(jittered / 2, jittered - took)).unref();
  }
}
