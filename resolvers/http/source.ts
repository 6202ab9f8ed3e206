import { invalid } from "../../src/contracts/index.ts";
import type { HttpOptions } from "./options.ts";

/** What a uri asks for. */
export interface Source {
  /** Without fragment and without credentials. */
  readonly url: URL;
  /** Of the file, in lower case. */
  readonly sha256: string | undefined;
}

const PIN = /^#sha256=([0-9a-f]{64})$/i;

/** @throws CapstanError INVALID_ARGUMENT saying what the uri should look like. */
export function sourceOf(uri: string, options: Pick<HttpOptions, "sha256">): Source {
  const url = URL.parse(uri);
  if (url === null) throw invalid(`'${uri}' is not an address: it reads https://host/path/model.onnx`);
  const shown = label(url);
  if (url.username !== "" || url.password !== "") {
    throw invalid(
      `The uri ${shown} holds a user or a password: put them into parameters.extra.source as token or headers`,
    );
  }
  return { url: withoutFragment(url), sha256: pinOf(url, options.sha256, shown) };
}

function pinOf({ hash }: URL, option: string | undefined, shown: string): string | undefined {
  if (hash === "") return option;
  const pin = PIN.exec(hash)?.[1]?.toLowerCase();
  if (pin === undefined)
    throw invalid(`After # the uri ${shown} may have only sha256= and 64 hexadecimal digits`);
  if (option !== undefined && option !== pin) {
    throw invalid(`The uri ${shown} and the option sha256 name different digests: keep one of them`);
  }
  return pin;
}

/** As `Located.location` has it, which `sourceOf` reads again. */
export function locationOf({ url, sha256 }: Source): string {
  return sha256 === undefined ? url.href : `${url.href}#sha256=${sha256}`;
}

function withoutFragment(url: URL): URL {
  const bare = new URL(url);
  bare.hash = "";
  return bare;
}

/** An address for messages: its query may be a signature. */
export const label = ({ origin, pathname }: URL): string => `${origin}${pathname}`;

/** The name a file is kept under: the last part of its path. */
export function nameOf({ pathname }: URL, option: string | undefined): string {
  const last = pathname.split("/").findLast((part) => part !== "") ?? "";
  const name = option ?? decoded(last);
  return /^\.{0,2}$|[/\\\0]/.test(name) || name.length > 255 ? "model" : name;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
