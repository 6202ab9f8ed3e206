import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Located, Log } from "../../contracts/index.ts";
import { type Content, contentOf, isWhole } from "./content.ts";
import { evict } from "./evict.ts";
import { isOwnerAlive, readJson, writeJson } from "./files.ts";

/** Files of an artifact that are held: they stay while the lease is out. */
export interface Artifact extends AsyncDisposable {
  /** Absolute path of a folder; nobody writes into it. */
  readonly path: string;
  readonly digest: string;
}

interface Entry {
  readonly digest: string;
}

/** How many versions of a source are remembered: what a rollback can go to. */
const HISTORY = 10;

const hashed = (text: string) => createHash("sha256").update(text).digest("hex");

/**
 * Fetched artifacts, by their content: models share them, and so do processes. What is fetched is written aside and
 * renamed, so that a process killed at any point leaves a whole artifact or none.
 *
 * `artifacts/DIGEST/` the files, `artifacts/DIGEST.json` their sizes, `leases/DIGEST/PID-ID` who uses them,
 * `revisions/KEY/REVISION.json` which content a revision is, `history/KEY.json` what served, `aside/PID-ID/` fetches.
 */
export class ArtifactCache {
  readonly #root: string;
  readonly #maxBytes: number;
  readonly #log: Log;
  readonly #fetches = new Map<string, Promise<Content>>();
  #tidied: Promise<void> | undefined;

  constructor(root: string, maxBytes: number, log: Log) {
    this.#root = root;
    this.#maxBytes = maxBytes;
    this.#log = log;
  }

  /**
   * The files of a revision: those that are there, else what `fetch` brings into an empty folder.
   * @param key stands for a uri and how it is resolved.
   */
  async acquire(
    key: string,
    located: Located,
    fetch: (directory: string) => Promise<void>,
  ): Promise<Artifact> {
    this.#tidied ??= this.#tidy();
    await this.#tidied;
    const known = await this.#known(key, located.revision);
    const content = known ?? (await this.#fetchOnce(key, located, fetch));
    return this.#lease(content);
  }

  /** Notes that a version serves: it is what a rollback, or a start without the registry, comes back to. */
  async remember(key: string, located: Located): Promise<void> {
    const before = (await this.history(key)).filter(({ revision }) => revision !== located.revision);
    await writeJson(this.#historyPath(key), [located, ...before].slice(0, HISTORY));
  }

  /** What served of a source, the newest first. */
  async history(key: string): Promise<readonly Located[]> {
    return (await readJson<Located[]>(this.#historyPath(key))) ?? [];
  }

  async #known(key: string, revision: string): Promise<Content | undefined> {
    const entry = await readJson<Entry>(this.#revisionPath(key, revision));
    if (entry === undefined) return undefined;
    const content = await readJson<Content>(this.#manifest(entry.digest));
    if (content === undefined) return undefined;
    if (await isWhole(this.#folder(content.digest), content)) return content;
    this.#log.warn({ digest: content.digest }, "a kept artifact is damaged, and fetched again");
    await this.#remove(content.digest);
    return undefined;
  }

  #fetchOnce(key: string, located: Located, fetch: (directory: string) => Promise<void>): Promise<Content> {
    const id = JSON.stringify([key, located.revision]);
    let fetching = this.#fetches.get(id);
    if (fetching === undefined) {
      fetching = this.#fetch(key, located, fetch).finally(() => this.#fetches.delete(id));
      this.#fetches.set(id, fetching);
    }
    return fetching;
  }

  async #fetch(key: string, located: Located, fetch: (directory: string) => Promise<void>): Promise<Content> {
    const aside = join(this.#root, "aside", `${process.pid}-${randomUUID()}`);
    await mkdir(aside, { recursive: true });
    try {
      await fetch(aside);
      const content = await contentOf(aside);
      await this.#keep(aside, content);
      await writeJson(this.#revisionPath(key, located.revision), { digest: content.digest } satisfies Entry);
      await evict(this.#root, this.#maxBytes, content.digest);
      return content;
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  }

  /** Another process may have been faster: then its folder stays. */
  async #keep(aside: string, content: Content): Promise<void> {
    const folder = this.#folder(content.digest);
    await mkdir(join(this.#root, "artifacts"), { recursive: true });
    await rename(aside, folder).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      if (await isWhole(folder, content)) return;
      await rm(folder, { recursive: true, force: true });
      await rename(aside, folder);
    });
    await writeJson(this.#manifest(content.digest), content);
  }

  async #lease({ digest }: Content): Promise<Artifact> {
    const folder = join(this.#root, "leases", digest);
    const lease = join(folder, `${process.pid}-${randomUUID()}`);
    await mkdir(folder, { recursive: true });
    await writeFile(lease, "");
    const now = new Date();
    await utimes(this.#manifest(digest), now, now);
    return {
      path: this.#folder(digest),
      digest,
      [Symbol.asyncDispose]: () => rm(lease, { force: true }),
    };
  }

  /** What processes that are gone have left behind. */
  async #tidy(): Promise<void> {
    const aside = join(this.#root, "aside");
    for (const name of await readdir(aside).catch(() => [])) {
      if (!isOwnerAlive(name)) await rm(join(aside, name), { recursive: true, force: true });
    }
  }

  async #remove(digest: string): Promise<void> {
    await rm(this.#manifest(digest), { force: true });
    await rm(this.#folder(digest), { recursive: true, force: true });
  }

  #folder = (digest: string) => join(this.#root, "artifacts", digest);
  #manifest = (digest: string) => join(this.#root, "artifacts", `${digest}.json`);
  #historyPath = (key: string) => join(this.#root, "history", `${hashed(key)}.json`);
  #revisionPath = (key: string, revision: string) =>
    join(this.#root, "revisions", hashed(key), `${hashed(revision)}.json`);
}
