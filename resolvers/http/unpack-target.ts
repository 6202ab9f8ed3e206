import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Call } from "../../src/contracts/index.ts";
import { upstream } from "./failures.ts";
import type { HttpOptions } from "./options.ts";

export interface Archive {
  readonly file: string;
  /** Where its entries go. */
  readonly directory: string;
  /** For messages. */
  readonly label: string;
  readonly limits: Pick<HttpOptions, "max_unpacked_bytes" | "max_entries" | "max_ratio" | "strip_components">;
}

/** Small archives of empty or alike weights may well shrink further than `max_ratio`. */
const RATIO_FREE_BYTES = 16 * 1024 * 1024;

/** The directory that an archive is unpacked into, and how much may still be. */
export class UnpackTarget {
  readonly #archive: Archive;
  readonly #archiveBytes: number;
  readonly #call: Call;
  #entries = 0;
  #bytes = 0;
  files = 0;

  constructor(archive: Archive, archiveBytes: number, call: Call) {
    this.#archive = archive;
    this.#archiveBytes = archiveBytes;
    this.#call = call;
  }

  /** Counts an entry, also one that is no file. */
  count(): void {
    this.#call.signal.throwIfAborted();
    const { max_entries } = this.#archive.limits;
    this.#entries += 1;
    if (this.#entries > max_entries) this.refuse(`more than ${max_entries} entries (max_entries)`);
  }

  async directory(name: string): Promise<void> {
    const path = this.#path(name);
    if (path !== undefined) await mkdir(path, { recursive: true });
  }

  /** Writes a file with ordinary permissions, whatever the archive says. */
  async file(name: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    const path = this.#path(name);
    await using handle = path === undefined ? undefined : await this.#create(path, name);
    for await (const chunk of content) {
      this.#call.signal.throwIfAborted();
      this.#take(chunk.length);
      await handle?.write(chunk);
    }
    if (handle !== undefined) this.files += 1;
  }

  refuse(what: string): never {
    throw upstream(`${this.#archive.label} is not unpacked: it has ${what}`);
  }

  /** Undefined for what `strip_components` leaves out. */
  #path(name: string): string | undefined {
    if (/^\/|^[a-z]:|[\\\0]/i.test(name)) this.refuse(`an entry outside of it, '${name}'`);
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) this.refuse(`an entry outside of it, '${name}'`);
    const kept = parts.slice(this.#archive.limits.strip_components);
    return kept.length === 0 ? undefined : join(this.#archive.directory, ...kept);
  }

  /** Never over something that is there: an entry must not replace another. */
  async #create(path: string, name: string): Promise<FileHandle> {
    await mkdir(dirname(path), { recursive: true });
    try {
      return await open(path, "wx", 0o644);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "EEXIST") this.refuse(`the entry '${name}' twice`);
      throw cause;
    }
  }

  #take(bytes: number): void {
    const { max_unpacked_bytes, max_ratio } = this.#archive.limits;
    this.#bytes += bytes;
    if (this.#bytes > max_unpacked_bytes) {
      this.refuse(`more than ${max_unpacked_bytes} bytes (max_unpacked_bytes)`);
    }
    if (this.#bytes > RATIO_FREE_BYTES && this.#bytes > max_ratio * this.#archiveBytes) {
      this.refuse(`more than ${max_ratio} bytes for each of its own (max_ratio), as a zip bomb has`);
    }
  }
}
