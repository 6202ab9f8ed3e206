import { join } from "node:path";
import { CapstanError, invalid } from "../../src/contracts/index.ts";

/** What a uri names: an object, or the folder that its key is the name of. */
export interface Place {
  readonly bucket: string;
  /** Without slashes at its ends; "" is the whole bucket. */
  readonly key: string;
  /** The uri says that it is a folder: it ends in a slash, or in `@latest`. */
  readonly folder: boolean;
  readonly latest: boolean;
}

const URI = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/s;
const LATEST = /@latest$/;

/** @throws CapstanError INVALID_ARGUMENT. Keys are taken as they are written, nothing is decoded. */
export function placeOf(uri: string): Place {
  const found = URI.exec(uri);
  if (found === null) throw invalid(`'${uri}' is not an address in S3, which reads s3://bucket/prefix`);
  const [, bucket = "", path = ""] = found;
  const latest = LATEST.test(path);
  const key = path.replace(LATEST, "").replace(/^\/+|\/+$/g, "");
  return { bucket, key, latest, folder: latest || key === "" || path.endsWith("/") };
}

export const prefixOf = ({ key }: Place): string => (key === "" ? "" : `${key}/`);

/**
 * Where an object goes, by its key relative to the folder.
 * @throws CapstanError UPSTREAM for a key that would leave the directory.
 */
export function pathFor(directory: string, name: string): string {
  const parts = name.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..") || /[\\\0]/.test(name)) {
    throw new CapstanError(
      "UPSTREAM",
      `The object '${name}' is not fetched: its key is no path below the folder`,
    );
  }
  return join(directory, ...parts);
}
