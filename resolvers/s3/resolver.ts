import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import pLimit from "p-limit";
import { type Call, CapstanError, type Located, type Resolver } from "../../src/contracts/index.ts";
import { type Choice, choose } from "./choose.ts";
import { changed, s3Failure } from "./failures.ts";
import { pathFor, placeOf } from "./location.ts";
import type { S3Options } from "./options.ts";
import { Store, type StoredObject } from "./store.ts";
import { copyUnchanged } from "./unchanged.ts";

/** What is to be fetched, and from which bucket. */
interface Chosen extends Choice {
  readonly bucket: string;
}

interface Folders {
  readonly directory: string;
  /** Of what was fetched before. */
  readonly earlier: string | undefined;
}

/** Objects of a bucket as files. The revision is a digest of the listing: keys, ETags and sizes. */
export class S3Resolver implements Resolver {
  readonly #options: S3Options;
  readonly #store: Store;

  constructor(options: S3Options) {
    this.#options = options;
    this.#store = new Store(options);
  }

  async locate(uri: string, call: Call): Promise<Located> {
    const place = placeOf(uri);
    const choice = await choose(this.#store, place, this.#options.settle, call);
    return {
      version: choice.version,
      revision: revisionOf(choice),
      location: `s3://${place.bucket}/${choice.prefix}`,
    };
  }

  async fetch(
    { location, revision }: Located,
    directory: string,
    call: Call,
    earlier?: string,
  ): Promise<void> {
    const { bucket, ...choice } = await this.#again(location, call);
    if (revisionOf(choice) !== revision) throw changed(location);
    this.#limit(choice.objects, location);
    await this.#copyAll({ bucket, ...choice }, { directory, earlier }, call);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#store.close();
  }

  /** The choice that `locate` made, listed anew. */
  async #again(location: string, call: Call): Promise<Chosen> {
    const { bucket, key, folder } = placeOf(location);
    const prefix = folder && key !== "" ? `${key}/` : key;
    if (!folder) {
      return { bucket, version: "", prefix, objects: [await this.#store.head(bucket, key, call)] };
    }
    const { objects } = await this.#store.list(bucket, prefix, undefined, call);
    return { bucket, version: "", prefix, objects: objects.filter((each) => !each.key.endsWith("/")) };
  }

  #limit(objects: readonly StoredObject[], location: string): void {
    const total = objects.reduce((sum, { size }) => sum + size, 0);
    const { max_bytes } = this.#options;
    if (total <= max_bytes) return;
    throw new CapstanError("UPSTREAM", `${location} has ${total} bytes; max_bytes is ${max_bytes}`);
  }

  /** The first that fails stops the others, and all have stopped when this ends. */
  async #copyAll(
    { bucket, prefix, objects }: Chosen,
    { directory, earlier }: Folders,
    call: Call,
  ): Promise<void> {
    const limit = pLimit(this.#options.parallel);
    const failing = new AbortController();
    const signal = AbortSignal.any([call.signal, failing.signal]);
    const copies = objects.map((object) =>
      limit(async () => {
        const name = nameOf(object.key, prefix);
        const path = pathFor(directory, name);
        const own = { ...call, signal };
        if (earlier && (await copyUnchanged(pathFor(earlier, name), path, object, own))) return;
        await this.#copy(bucket, object, path, own);
      }).catch((cause) => {
        failing.abort(cause);
        throw cause;
      }),
    );
    await Promise.allSettled(copies);
    call.signal.throwIfAborted();
    if (failing.signal.aborted) throw failing.signal.reason;
  }

  async #copy(bucket: string, object: StoredObject, path: string, call: Call): Promise<void> {
    const where = `s3://${bucket}/${object.key}`;
    const body = await this.#store.read(bucket, object, call);
    try {
      await mkdir(dirname(path), { recursive: true });
      const file = createWriteStream(path, { flags: "wx" });
      await pipeline(body, file, { signal: call.signal });
      if (file.bytesWritten !== object.size) throw changed(where);
    } catch (cause) {
      call.signal.throwIfAborted();
      throw s3Failure(where, cause);
    } finally {
      body.destroy();
    }
  }
}

/** Relative to the folder; the last part where the uri names one object. */
const nameOf = (key: string, prefix: string) => (key === prefix ? basename(key) : key.slice(prefix.length));

function revisionOf({ prefix, objects }: Choice): string {
  const digest = createHash("sha256");
  const lines = objects.map(
    ({ key, size, etag }) => `${JSON.stringify(nameOf(key, prefix))} ${etag} ${size}\n`,
  );
  for (const line of lines.sort()) digest.update(line);
  return digest.digest("hex");
}
