import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { emptyDocument, locate, readDocument, type SettingsDocument } from "./document.ts";
import { environmentSettings, readEnvironment, type Setting, unknownVariables } from "./environment.ts";
import { type GatewayModel, gatewayModel } from "./gateway-environment.ts";
import { type Environment, interpolate } from "./interpolate.ts";
import {
  byPlace,
  type Finding,
  isError,
  keyText,
  type Problem,
  SettingsError,
  shortPath,
} from "./problems.ts";
import { type ServerSettings, serverSettingsSchema } from "./server.ts";
import { withUpstreamName } from "./upstream-name.ts";
import { keysAt, type Validated, validate } from "./validate.ts";
import { KEYS_WITHOUT_EFFECT } from "./without-effect.ts";

export const SERVER_FILE = "settings.json";

export interface ServerSources {
  /** A settings file that must exist; absent: settings.json in the repository folder given as a flag, else in `cwd`. */
  readonly file?: string | undefined;
  readonly cwd: string;
  readonly env: Environment;
  /** By the names of settings.json; undefined ones are not given. */
  readonly flags: Readonly<Record<string, unknown>>;
}

export interface LoadedServer {
  /** Paths are absolute, times are milliseconds. */
  readonly settings: ServerSettings;
  /** The settings file as written, variables not replaced: what may be shown. */
  readonly raw: Readonly<Record<string, unknown>>;
  /** The file that was read; absent when there is none. */
  readonly file?: string;
  /** For each key that is not at its default, who gives it: the one that counts first. */
  readonly sources: Readonly<Record<string, readonly string[]>>;
  readonly warnings: readonly Problem[];
  /** The one model that is served when variables describe it and no folder is given. */
  readonly model?: GatewayModel;
  /** The environment together with the `.env` file: what model settings are read with. */
  readonly env: Environment;
}

/**
 * The settings of the server. Precedence: flag > `CAPSTAN_*` > `MLSERVER_*` > bare names > file > default.
 * @throws SettingsError with every error and warning there is.
 */
export async function loadServerSettings(from: ServerSources): Promise<LoadedServer> {
  const env = await readEnvironment(from.cwd, from.env);
  const document = await settingsDocument(from);
  if (document.problems.some(isError)) throw new SettingsError(document.problems, from.cwd);
  const { value, findings: missing } = interpolate(document.value, env);
  const given = [...environmentSettings(env, from.cwd), ...flagSettings(from.flags)];
  const { merged, origins } = merge(value as Record<string, unknown>, given);
  const { data, findings } = check(merged);
  const found = [
    ...missing.map((finding) => locate(document, finding)),
    ...findings.map((finding) => placed(finding, document, origins)),
  ];
  const problems = [...document.problems, ...found, ...unknownVariables(env)].sort(byPlace);
  if (data === undefined || problems.some(isError)) throw new SettingsError(problems, from.cwd);
  const hasFolder = Object.hasOwn(merged, "model_repository_root");
  const model = hasFolder ? undefined : gatewayModel(await withUpstreamName(env, from.cwd), from.cwd);
  const isFromFile = (key: string) => Object.hasOwn(document.value, key) && !origins.has(key);
  return {
    settings: withPaths(data, (key) => (isFromFile(key) ? dirname(document.file) : from.cwd)),
    raw: document.value,
    ...(Object.keys(document.value).length > 0 ? { file: document.file } : {}),
    sources: sourcesOf(document, origins, from.cwd),
    warnings: problems,
    env,
    ...(model === undefined ? {} : { model }),
  };
}

function check(merged: Readonly<Record<string, unknown>>): Validated<ServerSettings> {
  const { data, findings } = validate(serverSettingsSchema, inForce(merged));
  const meaning = data === undefined ? [] : meaningFindings(data);
  return { data, findings: [...findingsWithoutEffect(merged), ...findings, ...meaning] };
}

/** The settings file alone, as written; a document without keys when there is none. */
async function settingsDocument({ file, cwd, flags }: ServerSources): Promise<SettingsDocument> {
  if (file !== undefined) return readDocument(resolve(cwd, file));
  const folder = flags.model_repository_root;
  const folders = typeof folder === "string" ? [resolve(cwd, folder), cwd] : [cwd];
  const found = folders.map((path) => join(path, SERVER_FILE)).find((path) => existsSync(path));
  return found === undefined ? emptyDocument(join(cwd, SERVER_FILE)) : readDocument(found);
}

function flagSettings(flags: ServerSources["flags"]): Setting[] {
  return Object.entries(flags)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ({ path: [key], value, from: `--${key.replaceAll("_", "-")}` }));
}

/** Names of variables and flags for each key they give, strongest first. */
type Origins = ReadonlyMap<string, readonly string[]>;

function merge(value: Record<string, unknown>, given: readonly Setting[]) {
  const merged = structuredClone(value);
  const origins = new Map<string, readonly string[]>();
  for (const { path, value: set, from } of given) {
    assign(merged, path, set);
    origins.set(path[0]!, [from, ...(origins.get(path[0]!) ?? [])]);
  }
  return { merged, origins };
}

function assign(
  target: Record<string, unknown>,
  [key = "", ...rest]: readonly string[],
  value: unknown,
): void {
  if (rest.length === 0) {
    target[key] = value;
    return;
  }
  const inner = target[key];
  target[key] = typeof inner === "object" && inner !== null && !Array.isArray(inner) ? { ...inner } : {};
  assign(target[key] as Record<string, unknown>, rest, value);
}

/** A finding about a value from a variable names that; any other has its place in the file. */
function placed(finding: Finding, document: SettingsDocument, origins: Origins): Problem {
  const origin = origins.get(String(finding.path[0]))?.[0];
  if (origin === undefined) return locate(document, finding);
  return { file: origin, key: keyText(finding.path), message: finding.message, severity: finding.severity };
}

function findingsWithoutEffect(merged: Readonly<Record<string, unknown>>): Finding[] {
  const isOff = (value: unknown) => value === null || value === false || value === "false";
  return Object.entries(merged)
    .filter(([key, value]) => Object.hasOwn(KEYS_WITHOUT_EFFECT, key) && !isOff(value))
    .map(([key]) => ({ path: [key], message: KEYS_WITHOUT_EFFECT[key]!, severity: "warning" as const }));
}

function inForce(merged: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(merged).filter(([key]) => !Object.hasOwn(KEYS_WITHOUT_EFFECT, key)),
  );
}

function meaningFindings(settings: ServerSettings): Finding[] {
  if (settings.logging_settings === null) return [];
  const message = "has no effect: Python's logging configuration does not apply here; set log_level";
  return [{ path: ["logging_settings"], message, severity: "warning" }];
}

/** @param baseOf the folder that a relative path of a key starts from: the file's for what the file says. */
function withPaths(settings: ServerSettings, baseOf: (key: string) => string): ServerSettings {
  const absolute = (key: string, path: string) =>
    resolve(baseOf(key), path.replace(/^~(?=$|[\\/])/, homedir()));
  const { tls, cache_dir, model_repository_root } = settings;
  return {
    ...settings,
    model_repository_root: absolute("model_repository_root", model_repository_root),
    cache_dir: absolute("cache_dir", cache_dir),
    tls: tls && {
      cert: absolute("tls", tls.cert),
      key: absolute("tls", tls.key),
      ...(tls.client_ca === undefined ? {} : { client_ca: absolute("tls", tls.client_ca) }),
    },
  };
}

function sourcesOf(
  document: SettingsDocument,
  origins: Origins,
  cwd: string,
): Record<string, readonly string[]> {
  const file = shortPath(document.file, cwd);
  const inFile = (key: string) => {
    const { line, column } = document.position([key]);
    return Object.hasOwn(document.value, key) ? [`${file}:${line}:${column}`] : [];
  };
  const keys = keysAt(serverSettingsSchema, []).filter(
    (key) => origins.has(key) || Object.hasOwn(document.value, key),
  );
  return Object.fromEntries(keys.map((key) => [key, [...(origins.get(key) ?? []), ...inFile(key)]]));
}
