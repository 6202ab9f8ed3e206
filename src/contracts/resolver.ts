import type { Call } from "./call.ts";
import type { Host } from "./host.ts";
import type { OptionsSchema } from "./options.ts";

export interface Located {
  /** The version the uri stands for now; "" where its source has none. */
  readonly version: string;
  /** Changes when the content does, and only then. */
  readonly revision: string;
  /** Where `fetch` reads from. */
  readonly location: string;
  /** The files are on this machine already: the host reads them there and does not fetch. */
  readonly path?: string;
}

/** Turns a uri into files. The host owns the cache: temporary directory, digest, rename. */
export interface Resolver extends AsyncDisposable {
  /**
   * Small and cheap: this is what polling calls.
   * @throws CapstanError NOT_FOUND when the source answers that there is no such thing, UPSTREAM when it fails,
   * NOT_READY for a version that is not complete yet.
   */
  locate(uri: string, call: Call): Promise<Located>;
  /**
   * Writes the files into an existing, empty directory.
   * @param earlier a folder of what the same uri stood for before, to copy from it what is the same; nobody writes into it.
   */
  fetch(located: Located, directory: string, call: Call, earlier?: string): Promise<void>;
  /** The uri of one version of what a uri stands for. Absent: only what served before can be gone back to. */
  pinned?(uri: string, version: string): string;
  /** Yields when the uri may have changed. */
  watch?(uri: string, call: Call): AsyncIterable<void>;
}

export interface ResolverPlugin<O = unknown> {
  readonly kind: "resolver";
  readonly name: string;
  /** Uri schemes without the colon, such as `s3`. */
  readonly schemes: readonly string[];
  readonly options: OptionsSchema<O>;
  open(options: O, host: Host): Promise<Resolver>;
}

export function defineResolver<O>(plugin: Omit<ResolverPlugin<O>, "kind">): ResolverPlugin<O> {
  return { kind: "resolver", ...plugin };
}
