import { setTimeout as sleep } from "node:timers/promises";
import { type Call, CapstanError } from "../../src/contracts/index.ts";
import { type Place, prefixOf } from "./location.ts";
import type { Store, StoredObject } from "./store.ts";

/** The objects that a uri stands for now. */
export interface Choice {
  readonly version: string;
  /** What their keys begin with; the key itself where it is one object. */
  readonly prefix: string;
  readonly objects: readonly StoredObject[];
}

const NUMBER = /^\d{1,15}$/;
/** Somebody is still writing there. */
const UNFINISHED = /\.(incomplete|tmp|part|partial)$/i;

/**
 * A folder that holds nothing but numbered folders stands for the highest that is complete; another folder for
 * what is in it, a key for its object.
 * @throws CapstanError NOT_FOUND when there is nothing.
 */
export async function choose(store: Store, place: Place, settle: number, call: Call): Promise<Choice> {
  const { bucket } = place;
  const prefix = prefixOf(place);
  const { objects, folders } = await store.list(bucket, prefix, "/", call);
  if (objects.length === 0 && folders.length === 0) return await oneObject(store, place, call);
  const shown = visible([...objects.map(({ key }) => key), ...folders], prefix);
  const versions = shown.filter((name) => NUMBER.test(name.slice(0, -1)) && name.endsWith("/"));
  const areVersions = versions.length > 0 && (place.latest || versions.length === shown.length);
  if (areVersions) return await complete(store, place, versions, settle, call);
  if (place.latest) throw nothing(place, "folder with a number for its name");
  const all = folders.length === 0 ? objects : (await store.list(bucket, prefix, undefined, call)).objects;
  return { version: "", prefix, objects: all.filter(isContent) };
}

/** An object whose key ends in a slash is how consoles make an empty folder. */
const isContent = ({ key }: StoredObject) => !key.endsWith("/");

const visible = (keys: readonly string[], prefix: string) =>
  keys.map((key) => key.slice(prefix.length)).filter((name) => name !== "" && !name.startsWith("."));

async function oneObject(store: Store, place: Place, call: Call): Promise<Choice> {
  if (place.folder) throw nothing(place, "object");
  return { version: "", prefix: place.key, objects: [await store.head(place.bucket, place.key, call)] };
}

async function complete(
  store: Store,
  place: Place,
  versions: readonly string[],
  settle: number,
  call: Call,
): Promise<Choice> {
  const highestFirst = versions.toSorted((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10));
  // One look again after the wait is enough: what settles in it is taken, and the next poll looks anyway.
  for (const wait of [settle, undefined]) {
    for (const version of highestFirst) {
      const prefix = `${prefixOf(place)}${version}`;
      const objects = (await store.list(place.bucket, prefix, undefined, call)).objects.filter(isContent);
      if (isComplete(objects, settle)) return { version: version.slice(0, -1), prefix, objects };
    }
    if (wait) await sleep(wait, undefined, { signal: call.signal }).catch(() => call.signal.throwIfAborted());
  }
  const names = highestFirst.join(", ");
  throw new CapstanError(
    "NOT_READY",
    `No version at s3://${place.bucket}/${place.key} is complete (${names}): each is empty, still changing, or holds ` +
      "an object ending in .incomplete, .tmp, .part or .partial",
  );
}

function isComplete(objects: readonly StoredObject[], settle: number): boolean {
  if (objects.length === 0 || objects.some(({ key }) => UNFINISHED.test(key))) return false;
  // The store's clock may be ahead of ours.
  return objects.every(({ modified }) => Math.abs(Date.now() - modified) >= settle);
}

const nothing = ({ bucket, key }: Place, what: string) =>
  new CapstanError("NOT_FOUND", `There is no ${what} at s3://${bucket}/${key}`);
