import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { CapstanError, type Located, type Log } from "../../contracts/index.ts";
import { milliseconds } from "../../settings/fields.ts";
import { locateOnce } from "../artifacts.ts";
import type { ArtifactCache } from "../cache/artifact-cache.ts";
import { schemeOf } from "../local-path.ts";
import { splitExtra } from "../options.ts";
import type { Candidate } from "../repository.ts";
import { canaryKey, withAlias } from "./canary.ts";
import { changeDesired, type Desired, type DesiredState } from "./desired.ts";
import { remoteUri, sourceKey, withLocated } from "./remote.ts";
import { Source } from "./source.ts";

const DEFAULT_POLL_MS = 30_000;
/** Of a folder of versions on this machine. */
const LOCAL_POLL_MS = 5000;
/** So long a first look may hold up what else is to be served. */
const PATIENCE_MS = 5000;

export interface SourcesParts {
  readonly cache: ArtifactCache;
  readonly desired: DesiredState;
  readonly log: Log;
  /** Told when a source stands for something else than before. */
  changed(): void;
  /** Milliseconds that the first look of a source is waited for; a slower one is told of when it is done. */
  readonly patienceMs?: number;
}

/** What metrics and details show of a source. */
export interface SourceRow {
  readonly model: string;
  readonly failures: number;
  readonly lookedAt: number | undefined;
}

/**
 * What the folders of a repository stand for when their artifacts lie in registries: each is given the version and the
 * revision that its uri stands for now, or that a person decided on.
 */
export class Sources implements AsyncDisposable {
  readonly #parts: SourcesParts;
  readonly #sources = new Map<string, Source>();
  #models: KeysOfModels = new Map();
  /** Revisions that do not load, where what served last is served beside them; by the keys of candidates. */
  readonly #unloadable = new Map<string, string>();
  /** Ends of rollbacks that the sources here were looked at since. */
  readonly #ended = new Set<string>();

  constructor(parts: SourcesParts) {
    this.#parts = parts;
  }

  /** The candidates of a scan as they are to be served; sources that nobody names any more are forgotten. */
  async apply(candidates: readonly Candidate[]): Promise<Candidate[]> {
    const decided = await this.#parts.desired.read();
    const models: KeysOfModels = new Map();
    const apply = (each: Candidate) => this.#apply(each, decided[each.name] ?? {}, models);
    const applied = await Promise.all(candidates.map(apply));
    this.#models = models;
    await this.#forget();
    return applied.flat();
  }

  /** Looks at once at the sources of a model, or of a uri; false when there are none. */
  async look(of: {
    readonly model?: string | undefined;
    readonly uri?: string | undefined;
  }): Promise<boolean> {
    const keys = [...this.#models].flatMap(([model, own]) => (of.model === model ? [...own] : []));
    const named = [...this.#sources.keys()].filter((key) => of.uri !== undefined && uriOf(key) === of.uri);
    const sources = [...new Set([...keys, ...named])].flatMap((key) => this.#sources.get(key) ?? []);
    await Promise.all(sources.map((source) => source.look()));
    return sources.length > 0;
  }

  /** The revision that a model's own source says now; undefined while it says nothing. */
  async revision(candidate: Candidate): Promise<string | undefined> {
    const uri = await remoteUri(candidate);
    return uri === undefined
      ? undefined
      : (await this.#looked(candidate, uri, this.#models)).located?.revision;
  }

  /**
   * A version does not load where nothing else serves: what served last is a candidate beside it, until it loads or the
   * source says another. False when nothing has served, or that does not load either.
   */
  async fallBack({ key, located, sourceKey, version, decided, canary }: Candidate): Promise<boolean> {
    if (located === undefined || decided || canary) return false;
    if (this.#unloadable.has(key)) return this.#unloadable.get(key) === located.revision;
    if ((await this.#lastBefore(sourceKey!, located, version)) === undefined) return false;
    this.#unloadable.set(key, located.revision);
    return true;
  }

  /** A version loaded after all: true when another has served in its place. */
  recovered({ key, located }: Candidate): boolean {
    return this.#unloadable.get(key) === located?.revision && this.#unloadable.delete(key);
  }

  rows(): SourceRow[] {
    return [...this.#models].flatMap(([model, keys]) =>
      [...keys].flatMap((key) => {
        const source = this.#sources.get(key);
        return source === undefined ? [] : [{ model, failures: source.failures, lookedAt: source.lookedAt }];
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#sources.values()].map((source) => source[Symbol.asyncDispose]()));
  }

  async #apply(candidate: Candidate, decided: Desired, models: KeysOfModels): Promise<Candidate[]> {
    const told = { ...candidate, ...(decided.wanted === undefined ? {} : { wanted: decided.wanted }) };
    const uri = await remoteUri(candidate);
    if (uri === undefined) return [told];
    const source = await this.#looked(candidate, uri, models);
    const { located, note, decided: by } = await this.#choose(told, uri, source, decided);
    if (located === undefined)
      return [{ ...told, error: source.fault ?? unanswered(uri), settings: undefined }];
    const stable = { ...withLocated(told, uri, located, note), decided: by };
    const served = [stable, ...(await this.#inPlaceOf(stable, told, uri))];
    const { tried, fault } = await this.#canary(told, uri, stable, models);
    if (fault) return [{ ...stable, note: stable.note ?? `no canary: ${fault.message}` }, ...served.slice(1)];
    if (tried === undefined || served.some(({ version }) => version === tried.version)) return served;
    const { stoppedCanary } = decided;
    if (tried.located?.revision !== stoppedCanary?.revision) return [...served, tried];
    return [{ ...stable, note: stable.note ?? stoppedCanary?.reason }, ...served.slice(1)];
  }

  /** What is served while a version does not load that nothing else serves in the place of. */
  async #inPlaceOf(stable: Candidate, told: Candidate, uri: string): Promise<Candidate[]> {
    const { key, located, version } = stable;
    if (this.#unloadable.get(key) !== located!.revision) this.#unloadable.delete(key);
    if (stable.decided || !this.#unloadable.has(key)) return [];
    const last = await this.#lastBefore(stable.sourceKey!, located!, version);
    if (last === undefined) return [];
    return [withLocated(told, uri, last, `version ${version}, which the registry names, does not load`)];
  }

  /** Of the versions that served; one with the same name would be in its way. */
  async #lastBefore(sourceKey: string, { revision }: Located, version: string): Promise<Located | undefined> {
    const history = await this.#parts.cache.history(sourceKey);
    return history.find((each) => !each.left && each.revision !== revision && each.version !== version);
  }

  async #choose(candidate: Candidate, uri: string, source: Source, decided: Desired): Promise<Choice> {
    const { pin, rollback } = decided;
    if (pin !== undefined) return { located: pin, note: "pinned", decided: "pin" };
    if (rollback !== undefined && (await this.#holds(candidate.name, rollback, source)))
      return { located: rollback.to, note: "rolled back", decided: "rollback" };
    const { located } = source;
    const fault = source.fault ?? (located === undefined ? unanswered(uri) : undefined);
    if (fault === undefined) return { located, note: undefined };
    const kept = located ?? (await this.#parts.cache.history(sourceKey(candidate, uri)))[0];
    return { located: kept, note: `${lackOf(fault)}: ${fault.message}` };
  }

  /** Whether a rollback still counts. Once the alias has moved it is followed again, here and at every replica. */
  async #holds(model: string, { from, to, ended }: Rollback, source: Source): Promise<boolean> {
    if (ended !== undefined) {
      if (source.located?.revision === from && !this.#ended.has(ended)) await source.look();
      this.#ended.add(ended);
      return false;
    }
    if (source.located === undefined || source.located.revision === from) return true;
    const occasion = randomUUID();
    this.#ended.add(occasion);
    await changeDesired(this.#parts.desired, model, (now) => {
      const isSame = now.rollback?.from === from && now.rollback.to.revision === to.revision;
      return isSame ? { ...now, rollback: { from, to, ended: occasion } } : now;
    }).catch((err: unknown) => {
      // The next look tries again: what is served does not wait for it.
      this.#parts.log.debug({ err, model }, "the end of a rollback could not be written down");
    });
    return false;
  }

  /** What the other alias stands for, where that is another version; or why that is not known. */
  async #canary(
    candidate: Candidate,
    uri: string,
    stable: Candidate,
    models: KeysOfModels,
  ): Promise<{ readonly tried?: Candidate; readonly fault?: CapstanError | undefined }> {
    const { canary } = candidate.settings!.parameters.extra;
    if (canary === undefined || stable.decided) return {};
    const other = withAlias(uri, canary.alias);
    const { located, fault } = await this.#looked(candidate, other, models);
    // An alias that was deleted ends its trial: the version beside it serves.
    if (located === undefined || fault?.code === "NOT_FOUND") return { fault };
    const tried = withLocated({ ...candidate, key: canaryKey(candidate.key) }, other, located, undefined);
    return tried.version === stable.version ? {} : { tried: { ...tried, canary: { weight: canary.weight } } };
  }

  /** A source that was looked at at least once, or is slow to answer. */
  async #looked(candidate: Candidate, uri: string, models: KeysOfModels): Promise<Source> {
    const { source: options } = splitExtra(candidate.settings!.parameters.extra);
    const key = JSON.stringify([uri, options]);
    const own = models.get(candidate.name) ?? new Set();
    models.set(candidate.name, own.add(key));
    const known = this.#sources.get(key);
    if (known !== undefined) {
      // Another model of the same source may have asked first, and be waiting still.
      if (known.located === undefined && known.fault === undefined) await this.#firstLook(known);
      return known;
    }
    const { poll } = candidate.settings!.parameters.extra.source ?? {};
    const source = new Source({
      uri,
      pollMs: poll === undefined ? pollOf(uri) : milliseconds(poll),
      log: this.#parts.log,
      locate: (call) => locateOnce(uri, options, call),
      changed: () => this.#parts.changed(),
    });
    this.#sources.set(key, source);
    await this.#firstLook(source);
    return source;
  }

  async #firstLook(source: Source): Promise<void> {
    const patience = new AbortController();
    const { patienceMs = PATIENCE_MS } = this.#parts;
    const late = sleep(patienceMs, true, { signal: patience.signal, ref: false }).catch(() => false);
    const look = source.look();
    const isLate = await Promise.race([look.then(() => false), late]);
    patience.abort();
    if (isLate) void look.then(() => this.#parts.changed());
  }

  async #forget(): Promise<void> {
    const used = new Set([...this.#models.values()].flatMap((keys) => [...keys]));
    for (const [key, source] of this.#sources) {
      if (used.has(key)) continue;
      this.#sources.delete(key);
      await source[Symbol.asyncDispose]();
    }
  }
}

interface Choice {
  readonly located: Located | undefined;
  /** Shown beside the model while it serves. */
  readonly note: string | undefined;
  /** How a person decided, where one did. */
  readonly decided?: Candidate["decided"];
}

/** The keys of the sources that each model has. */
type KeysOfModels = Map<string, Set<string>>;

type Rollback = NonNullable<Desired["rollback"]>;

const unanswered = (uri: string) =>
  new CapstanError("NOT_READY", `The registry has not answered yet what '${uri}' stands for`);

/** A registry that is there may have lost what the uri names: an alias that was deleted. */
function lackOf({ code }: CapstanError): string {
  if (code === "NOT_FOUND") return "the registry no longer has it";
  return code === "NOT_READY" ? "what the registry names is not ready" : "the registry was asked in vain";
}

const pollOf = (uri: string) => (schemeOf(uri) === "file" ? LOCAL_POLL_MS : DEFAULT_POLL_MS);

const uriOf = (key: string): string => (JSON.parse(key) as [string])[0];
