import { createHash } from "node:crypto";
import type { Located } from "../../contracts/index.ts";
import { absoluteUri } from "../artifacts.ts";
import { pathInPlace } from "../local-path.ts";
import { loadPlugin } from "../plugins.ts";
import type { Candidate } from "../repository.ts";

/** By what the cache knows a source: the uri and the registry, or the store's endpoint, without its credentials. */
export function sourceKey({ settings }: Candidate, uri: string): string {
  const { registry, endpoint } = settings?.parameters.extra.source ?? {};
  return JSON.stringify([uri, registry ?? endpoint ?? ""]);
}

/** The uri of an artifact that a resolver finds; undefined for one that is served in place, and for an address. */
export async function remoteUri({ settings, folder }: Candidate): Promise<string | undefined> {
  const uri = settings?.parameters.uri;
  if (settings === undefined || uri === undefined) return undefined;
  if ((await pathInPlace(uri, folder)) !== undefined) return undefined;
  try {
    const plugin = await loadPlugin("runtime", settings.implementation, folder);
    return plugin.uri === "address" ? undefined : absoluteUri(uri, folder);
  } catch {
    // The load says what is wrong with the plugin.
    return undefined;
  }
}

/** With an alias the registry's version number is the version, unless the settings name one. */
export function withLocated(
  candidate: Candidate,
  uri: string,
  located: Located,
  note: string | undefined,
): Candidate {
  const own = candidate.settings!.parameters.version;
  const version = own || located.version || candidate.version;
  const content = [candidate.fingerprint, version, located.revision];
  return {
    ...candidate,
    version,
    located,
    sourceKey: sourceKey(candidate, uri),
    note,
    folderFingerprint: candidate.fingerprint,
    fingerprint: createHash("sha256").update(content.join("\n")).digest("hex"),
  };
}
