import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Located, Log } from "../../contracts/index.ts";
import { type Content, contentOf, isWhole } from "./content.ts";
import { evict, straysIn } from "./evict.ts";
import { isOwnerAlive, ownedName, readJson, writeJson } from "./files.ts";
import { locked } from "./lock.ts";

/** Files of an artifact that are held: they stay while the lease is out. */
export interface Artifact extends AsyncDisposable {
  /** Absolute path of a folder; nobody writes into it. */
  readonly path: string;
  readonly digest: string;
}

interface Entry {
  readonly digest: string;
}

/** A version that served of a source. */
export interface Served extends Located {
  /** A person went back from it: no rollback leads to it again, until it serves anew. */
  readonly left?: boolean;
}

/** How many versions of a source are remembered: what a rollback can go to. */
const HISTORY = 10;
/** So old is a folder without its list only when the process that put it there was killed. */
const STRAY_MS = 60 * 60 * 1000;

const hashed = (text: string) => createHash("sha256").update(text).digest("hex");

/** @param earlier the files of what served before of the same source, where they are still here. */
type Fetch = (directory: string, earlier: string | undefined) => Promise<void>;

/** A fetch under way, and how many wait for it. It holds what it brings until they do. */
interface Fetching {
  readonly done: Promise<Artifact>;
  waiting: number;
}

/**
 * Fetched artifacts, by their content: models share them, and so do processes of one machine. What is fetched is written
 * aside and renamed, so that a process killed at any point leaves a whole artifact or none.
 *
 * `artifacts/DIGEST/` the files, `artifacts/DIGEST.json` their sizes, `leases/DIGEST/OWNER` who uses them,
 * `revisions/KEY/REVISION.json` which content a revision is, `history/KEY.json` what served, `aside/OWNER/` fetches,
 * `keeping` the lock of whoever adds or removes artifacts.
 */
export class ArtifactCache {
  readonly #root: string;
  readonly #maxBytes: number;
  readonly #log: Log;
  readonly #strayMs: number;
  readonly #fetches = new Map<string, Fetching>();
  #tidied: Promise<void> | undefined;

  constructor(root: string, maxBytes: number, log: Log, { strayMs = STRAY_MS } = {}) {
    this.#root = root;
    this.#maxBytes = maxBytes;
    this.#log = log;
    this.#strayMs = strayMs;
  }

  /**
   * The files of a revision: those that are there, else what `fetch` brings into an empty folder.
   * @param key stands for a uri and how it is resolved.
   */
  async acquire(key: string, located: Located, fetch: Fetch): Promise<Artifact> {
    this.#tidied ??= this.#tidy();
    await this.#tidied;
    const known = await this.#known(key, located.revision);
    return known ?? (await this.#fetched(key, located, fetch));
  }

  /** Notes that a version serves: it is what a rollback, or a start without the registry, comes back to. */
  async remember(key: string, located: Located): Promise<void> {
    const before = (await this.history(key)).filter(({ revision }) => revision !== located.revision);
    await writeJson(this.#historyPath(key), [located, ...before].slice(0, HISTORY));
  }

  /** Notes that a person went back to a version: those that served since are left. */
  async returned(key: string, { revision }: Located): Promise<void> {
    const history = await this.history(key);
    const place = history.findIndex((each) => each.revision === revision);
    const left = history.map((each, index) => (index < place ? { ...each, left: true } : each));
    if (place > 0) await writeJson(this.#historyPath(key), left);
  }

  /** What served of a source, the newest first. */
  async history(key: string): Promise<readonly Served[]> {
    return (await readJson<Served[]>(this.#historyPath(key))) ?? [];
  }

  /** Held first and looked at then: whoever evicts takes the list away first, and looks for leases then. */
  async #known(key: string, revision: string): Promise<Artifact | undefined> {
    const entry = await readJson<Entry>(this.#revisionPath(key, revision));
    if (entry === undefined) return undefined;
    const held = await this.#hold(entry.digest);
    const content = await readJson<Content>(this.#manifest(entry.digest));
    if (content !== undefined && (await isWhole(held.path, content))) return this.#used(held);
    await held[Symbol.asyncDispose]();
    if (content !== undefined)
      this.#log.warn({ digest: entry.digest }, "a kept artifact is damaged, and fetched again");
    return undefined;
  }

  async #fetched(key: string, located: Located, fetch: Fetch): Promise<Artifact> {
    const id = JSON.stringify([key, located.revision]);
    const fetching = this.#fetches.get(id) ?? { done: this.#fetch(key, located, fetch), waiting: 0 };
    this.#fetches.set(id, fetching);
    fetching.waiting += 1;
    try {
      return await this.#hold((await fetching.done).digest);
    } finally {
      fetching.waiting -= 1;
      if (fetching.waiting === 0) {
        this.#fetches.delete(id);
        await fetching.done.then((held) => held[Symbol.asyncDispose]()).catch(() => {});
      }
    }
  }

  async #fetch(key: string, located: Located, fetch: Fetch): Promise<Artifact> {
    const aside = this.#aside();
    await mkdir(aside, { recursive: true });
    try {
      await using earlier = await this.#earlier(key);
      await fetch(aside, earlier?.path);
      const content = await contentOf(aside);
      const held = await this.#hold(content.digest);
      await this.#alone(() => this.#keep(aside, content));
      await writeJson(this.#revisionPath(key, located.revision), { digest: content.digest } satisfies Entry);
      await this.#evict();
      return held;
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  }

  /** What served last of a source and is still whole, held. */
  async #earlier(key: string): Promise<Artifact | undefined> {
    for (const { revision } of await this.history(key)) {
      const artifact = await this.#known(key, revision);
      if (artifact !== undefined) return artifact;
    }
    return undefined;
  }

  /** Another process may have been faster: then its folder stays. */
  async #keep(aside: string, content: Content): Promise<void> {
    const folder = this.#folder(content.digest);
    const manifest = this.#manifest(content.digest);
    if ((await readJson(manifest)) !== undefined && (await isWhole(folder, content))) return;
    await mkdir(join(this.#root, "artifacts"), { recursive: true });
    await rm(folder, { recursive: true, force: true });
    await rename(aside, folder);
    await writeJson(manifest, content);
  }

  /** Removing takes long for many files: they are moved aside, and removed when others may go on. */
  async #evict(): Promise<void> {
    const aside = this.#aside();
    await mkdir(aside, { recursive: true });
    await this.#alone(() => evict(this.#root, this.#maxBytes, aside));
    await rm(aside, { recursive: true, force: true });
  }

  async #hold(digest: string): Promise<Artifact> {
    const folder = join(this.#root, "leases", digest);
    const lease = join(folder, ownedName());
    await mkdir(folder, { recursive: true });
    await writeFile(lease, "");
    return {
      path: this.#folder(digest),
      digest,
      [Symbol.asyncDispose]: () => rm(lease, { force: true }),
    };
  }

  async #used(artifact: Artifact): Promise<Artifact> {
    const now = new Date();
    await utimes(this.#manifest(artifact.digest), now, now).catch(() => {});
    return artifact;
  }

  /** What processes that are gone have left behind. */
  async #tidy(): Promise<void> {
    const aside = join(this.#root, "aside");
    for (const name of await readdir(aside).catch((): string[] => [])) {
      if (!isOwnerAlive(name)) await rm(join(aside, name), { recursive: true, force: true });
    }
    const strays = await straysIn(this.#root, this.#strayMs);
    if (strays.length === 0) return;
    await this.#alone(async () => {
      for (const digest of strays) await rm(this.#folder(digest), { recursive: true, force: true });
    });
  }

  #alone = <T>(work: () => Promise<T>) => locked(join(this.#root, "keeping"), work);
  #aside = () => join(this.#root, "aside", ownedName());
  #folder = (digest: string) => join(this.#root, "artifacts", digest);
  #manifest = (digest: string) => join(this.#root, "artifacts", `${digest}.json`);
  #historyPath = (key: string) => join(this.#root, "history", `${hashed(key)}.json`);
  #revisionPath = (key: string, revision: string) =>
    join(this.#root, "revisions", hashed(key), `${hashed(revision)}.json`);
}
