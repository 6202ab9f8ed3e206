import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Located } from "../../contracts/index.ts";
import { readJson, writeJson } from "../cache/files.ts";

/** What a person decided about a model; it outlives restarts, and no look at the registry undoes it. */
export interface Desired {
  /** False: it was unloaded. */
  readonly wanted?: boolean;
  /** Stays on this version until it is unpinned. */
  readonly pin?: Located;
  /**
   * Serves `to` for as long as the source still says `from`. When a server saw the alias elsewhere it is over, and
   * `ended` names the occasion: the others look once more before they believe that the source still says `from`.
   */
  readonly rollback?: { readonly from: string; readonly to: Located; readonly ended?: string };
  /** A canary that was taken back, and why; another revision is tried again. */
  readonly stoppedCanary?: { readonly revision: string; readonly reason: string };
}

/** Where decisions are kept. Replicas that share one follow the same decisions. */
export interface DesiredState {
  /** As they are, or as they were when that could last be read. */
  read(): Promise<Readonly<Record<string, Desired>>>;
  /**
   * As they are, for a change: one to what was would undo what others decided since.
   * @throws CapstanError NOT_READY when they cannot be read.
   */
  latest(): Promise<Readonly<Record<string, Desired>>>;
  /** An empty decision is none. */
  write(model: string, desired: Desired): Promise<void>;
}

const changing = new WeakMap<DesiredState, Promise<unknown>>();

/** Decides anew about a model, by what was decided before. Of the changes of one server, each sees the one before. */
export function changeDesired(
  state: DesiredState,
  model: string,
  next: (before: Desired) => Desired,
): Promise<void> {
  const before = changing.get(state) ?? Promise.resolve();
  const changed = before
    .catch(() => {})
    .then(async () => state.write(model, next((await state.latest())[model] ?? {})));
  changing.set(state, changed);
  return changed;
}

/**
 * Moves decisions from where they were kept before, once: where a model was decided about since, that stands.
 * @param to `add` writes only where there is none.
 * @throws what reading or writing throws; nothing is lost then.
 */
export async function adoptDecisions(
  from: DesiredState,
  to: { add(model: string, desired: Desired): Promise<void> },
): Promise<void> {
  for (const [model, desired] of Object.entries(await from.read())) {
    await to.add(model, desired);
    await from.write(model, {});
  }
}

interface Entry {
  readonly model: string;
  readonly desired: Desired;
}

/**
 * Decisions in a file for each model, shared by the servers of one repository on this machine: what one writes about a
 * model never undoes what another writes about a second.
 */
export class DesiredFile implements DesiredState {
  readonly #folder: string;

  /** @param name tells the repositories of one cache folder apart. */
  constructor(folder: string, name: string) {
    this.#folder = join(folder, "desired", name);
  }

  async read(): Promise<Readonly<Record<string, Desired>>> {
    const names = await readdir(this.#folder).catch(() => []);
    const files = names.filter((name) => name.endsWith(".json"));
    const entries = await Promise.all(files.map((name) => readJson<Entry>(join(this.#folder, name))));
    return Object.fromEntries(
      entries.flatMap((entry) => (entry === undefined ? [] : [[entry.model, entry.desired]])),
    );
  }

  latest(): Promise<Readonly<Record<string, Desired>>> {
    return this.read();
  }

  async write(model: string, desired: Desired): Promise<void> {
    const path = this.#pathOf(model);
    if (Object.keys(desired).length === 0) await rm(path, { force: true });
    else await writeJson(path, { model, desired } satisfies Entry);
  }

  #pathOf(model: string): string {
    return join(this.#folder, `${createHash("sha256").update(model).digest("hex").slice(0, 32)}.json`);
  }
}
