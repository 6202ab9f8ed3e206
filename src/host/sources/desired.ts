import { join } from "node:path";
import type { Located } from "../../contracts/index.ts";
import { readJson, writeJson } from "../cache/files.ts";

/** What a person decided about a model; it outlives restarts, and no look at the registry undoes it. */
export interface Desired {
  /** False: it was unloaded. */
  readonly wanted?: boolean;
  /** Stays on this version until it is unpinned. */
  readonly pin?: Located;
  /** Serves `to` for as long as the source still says `from`. */
  readonly rollback?: { readonly from: string; readonly to: Located };
  /** The revision of a canary that was taken back; another one is tried again. */
  readonly stoppedCanary?: string;
}

/** Where decisions are kept. Replicas that share one follow the same decisions. */
export interface DesiredState {
  read(): Promise<Readonly<Record<string, Desired>>>;
  /** An empty decision is none. */
  write(model: string, desired: Desired): Promise<void>;
}

/** Decisions in a file of the cache folder, shared by the servers of one repository on this machine. */
export class DesiredFile implements DesiredState {
  readonly #path: string;
  #writing: Promise<unknown> = Promise.resolve();

  /** @param name tells the repositories of one cache folder apart. */
  constructor(folder: string, name: string) {
    this.#path = join(folder, "desired", `${name}.json`);
  }

  async read(): Promise<Readonly<Record<string, Desired>>> {
    return (await readJson<Record<string, Desired>>(this.#path)) ?? {};
  }

  write(model: string, desired: Desired): Promise<void> {
    const written = this.#writing
      .catch(() => {})
      .then(async () => {
        const { [model]: _, ...others } = await this.read();
        await writeJson(
          this.#path,
          Object.keys(desired).length === 0 ? others : { ...others, [model]: desired },
        );
      });
    this.#writing = written;
    return written;
  }
}
