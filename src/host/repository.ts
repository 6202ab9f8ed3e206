import { stat } from "node:fs/promises";
import { basename, isAbsolute, join, relative, resolve } from "node:path";
import { CapstanError, type Located } from "../contracts/index.ts";
import { locate } from "../settings/document.ts";
import type { Environment } from "../settings/interpolate.ts";
import {
  type ModelFile,
  modelFromEnvironment,
  modelFromValue,
  readModelSettings,
} from "../settings/load-model.ts";
import { resolveImplementation } from "../settings/mlserver-implementations.ts";
import type { ModelSettings } from "../settings/model.ts";
import { type Finding, formatProblem, isError, type Problem, shortPath } from "../settings/problems.ts";
import { CASES_FILE } from "./cases.ts";
import { codeFiles } from "./code-files.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { type Folder, foldersBelow } from "./folders.ts";
import { pathInPlace, schemeOf } from "./local-path.ts";
import { type Canary, namesAlias, withAlias } from "./sources/canary.ts";

export const MODEL_FILE = "model-settings.json";

/** One model version that a scan found, or one folder whose settings cannot be used. */
export interface Candidate {
  /** The same in every scan: the folder, and the sub-folder of a version. */
  readonly key: string;
  /** Absolute path of the folder that holds the settings; relative uris start here. */
  readonly folder: string;
  /** Absolute path of its model-settings.json. */
  readonly file: string;
  readonly name: string;
  readonly version: string;
  /** With MLServer's names replaced; absent when there is an `error`. */
  readonly settings?: ModelSettings | undefined;
  /** As written, variables not replaced: what may be shown. */
  readonly raw?: Readonly<Record<string, unknown>>;
  /** Warnings, and the errors that `error` is made of. */
  readonly problems: readonly Problem[];
  readonly error?: CapstanError;
  /** Changes when the settings or a local file of the artifact do. */
  readonly fingerprint: string;
  /** The same without what a registry says; absent where no registry does. */
  readonly folderFingerprint?: string;
  /** A person's decision to serve it or not; absent: none was made. */
  readonly wanted?: boolean;
  /** What its uri stands for, where a resolver brings the artifact. */
  readonly located?: Located;
  /** By what the cache knows its source. */
  readonly sourceKey?: string;
  /** A person chose this version; the source may say another. */
  readonly decided?: "pin" | "rollback" | undefined;
  /** Shown beside it while it serves. */
  readonly note?: string | undefined;
  /** A second version that gets a share of the requests. */
  readonly canary?: Canary;
}

/**
 * Finds every model-settings.json below a folder. A file that cannot be used is a candidate with an error
 * and never stops the others. Of two candidates for the same model version the first in path order counts.
 * @throws CapstanError NOT_FOUND when there is no such folder.
 */
export async function scanRepository(root: string, env: Environment): Promise<Candidate[]> {
  const top = resolve(root);
  const models = await modelFolders(top);
  if (models.length === 0) return fromEnvironment(top, env);
  const defaults = models.length === 1 ? env : withoutIdentity(env);
  const paths = new Set(models.map(({ path }) => path));
  const found: Candidate[] = [];
  for (const model of models) {
    const read = await readModelSettings(join(model.path, MODEL_FILE), defaults);
    for (const version of versionFolders(read, model, paths))
      found.push(await candidate(top, model.path, read, version));
  }
  return withoutDuplicates(found, top);
}

/** The one candidate of settings that have no file; their paths start at `folder`. */
export async function onlyModel(
  value: Readonly<Record<string, unknown>>,
  folder: string,
): Promise<readonly Candidate[]> {
  return [await candidate(folder, folder, modelFromValue(value, folder), undefined)];
}

async function modelFolders(root: string): Promise<Folder[]> {
  const found = await stat(root).catch(() => undefined);
  if (!found?.isDirectory())
    throw new CapstanError("NOT_FOUND", `There is no model repository folder ${root}`);
  const models: Folder[] = [];
  for await (const folder of foldersBelow(root)) if (folder.files.includes(MODEL_FILE)) models.push(folder);
  return models;
}

/** A name, uri or version from the environment can only be that of a single model. */
function withoutIdentity(env: Environment): Environment {
  const { MLSERVER_MODEL_NAME: _, MLSERVER_MODEL_URI: __, MLSERVER_MODEL_VERSION: ___, ...rest } = env;
  return rest;
}

async function fromEnvironment(root: string, env: Environment): Promise<Candidate[]> {
  const model = modelFromEnvironment(env, root);
  return model === undefined ? [] : [await candidate(root, root, model, undefined)];
}

/**
 * Numeric sub-folders, when the artifact is looked for in them; else one version, which has no folder of its
 * own. A sub-folder with settings of its own is another model.
 */
function versionFolders(
  model: ModelFile,
  { path, folders }: Folder,
  models: ReadonlySet<string>,
): (string | undefined)[] {
  const numeric = folders.filter((name) => /^\d+$/.test(name) && !models.has(join(path, name)));
  const { uri, version } = written(model);
  const elsewhere = typeof uri === "string" && (isAbsolute(uri) || schemeOf(uri) !== undefined);
  return numeric.length === 0 || version !== undefined || elsewhere ? [undefined] : numeric;
}

/** Identity as far as it can be read, also from settings that have an error. */
function written({ settings, raw }: ModelFile): { name?: unknown; uri?: unknown; version?: unknown } {
  const parameters = settings?.parameters ?? (raw.parameters as Record<string, unknown> | null | undefined);
  return { name: settings?.name ?? raw.name, uri: parameters?.uri, version: parameters?.version };
}

/** @param subfolder the numeric sub-folder that holds the version, where there is one. */
async function candidate(
  root: string,
  folder: string,
  model: ModelFile,
  subfolder: string | undefined,
): Promise<Candidate> {
  const { file } = model.document;
  const { settings, findings } = resolved(model, folder, subfolder);
  const problems = [...model.problems, ...findings.map((finding) => locate(model.document, finding))];
  const place = relative(root, folder);
  const base = {
    key: subfolder === undefined ? place : join(place, subfolder),
    folder,
    file,
    ...identity(model, folder, subfolder),
    raw: model.raw,
    problems,
    fingerprint: await fingerprintOf([file, ...(await watchedPaths(settings, folder))]),
  };
  const error = problems.some(isError) ? loadError(problems, root) : undefined;
  return error === undefined ? { ...base, settings } : { ...base, error };
}

function loadError(problems: readonly Problem[], root: string): CapstanError {
  const lines = problems.filter(isError).map((problem) => formatProblem(problem, root));
  return new CapstanError("LOAD_FAILED", lines.join("; "));
}

function identity(model: ModelFile, folder: string, subfolder: string | undefined) {
  const { name, version } = written(model);
  const isName = typeof name === "string" && nameFault(name) === undefined && !name.includes("${");
  return {
    name: isName ? name : basename(folder),
    version: subfolder ?? (typeof version === "string" && version !== "" ? version : "1"),
  };
}

/** Settings as they are for one version: its uri in its folder, and an implementation of ours. */
function resolved(model: ModelFile, folder: string, subfolder: string | undefined) {
  if (model.settings === undefined) return { findings: [] };
  const settings = subfolder === undefined ? model.settings : inSubfolder(model.settings, subfolder);
  const { settings: final, finding } = resolveImplementation(settings, folder);
  return {
    settings: final,
    findings: [
      ...identityFindings(settings),
      ...canaryFindings(settings),
      ...(finding === undefined ? [] : [finding]),
    ],
  };
}

function inSubfolder(settings: ModelSettings, version: string): ModelSettings {
  const { parameters } = settings;
  const uri = `./${join(version, parameters.uri ?? ".")}`;
  return { ...settings, parameters: { ...parameters, uri, version } };
}

/** Names are parts of URLs, of log lines and of folder names. */
function identityFindings({ name, parameters }: ModelSettings): Finding[] {
  const faults = [
    { path: ["name"], fault: nameFault(name) },
    {
      path: ["parameters", "version"],
      fault: parameters.version ? nameFault(parameters.version) : undefined,
    },
  ];
  return faults.flatMap(({ path, fault }) =>
    fault === undefined ? [] : [{ path, message: fault, severity: "error" as const }],
  );
}

/** A canary is another alias of what the uri names. */
function canaryFindings({ parameters: { uri, version, extra } }: ModelSettings): Finding[] {
  if (extra.canary === undefined) return [];
  const fault = canaryFault(uri, version, extra.canary.alias);
  if (fault === undefined) return [];
  return [{ path: ["parameters", "extra", "canary"], message: `canary: ${fault}`, severity: "error" }];
}

function canaryFault(uri: string | undefined, version: string | undefined, alias: string) {
  if (uri === undefined || !namesAlias(uri)) {
    const what = uri === undefined ? "there is no parameters.uri, and it" : `parameters.uri "${uri}"`;
    return `${what} names no alias; it must end in @ALIAS, such as "models:/iris@champion"`;
  }
  if (withAlias(uri, alias) === uri) return `"${alias}" is the alias of parameters.uri itself; name another`;
  if (version) return `with parameters.version "${version}" both would be one version; leave it out`;
  return undefined;
}

const LONGEST_NAME = 256;

function nameFault(name: string): string | undefined {
  if (name === "") return "must not be empty: give the model a name";
  if (name === "." || name === "..") return `must not be "${name}"`;
  if (/[/\\]/.test(name)) return 'must not contain "/" or "\\"';
  if (/\p{Cc}/u.test(name)) return "must not contain control characters";
  return name.length > LONGEST_NAME ? `must have at most ${LONGEST_NAME} characters` : undefined;
}

/** The artifact, the reference cases, and code beside the settings: a model is loaded anew when one changes. */
async function watchedPaths(settings: ModelSettings | undefined, folder: string): Promise<string[]> {
  const uri = settings?.parameters.uri;
  const artifact = uri === undefined ? undefined : await pathInPlace(uri, folder);
  const beside = [join(folder, CASES_FILE), ...(await codeFiles(folder))];
  return artifact === undefined ? beside : [artifact, ...beside];
}

function withoutDuplicates(candidates: readonly Candidate[], root: string): Candidate[] {
  const first = new Map<string, Candidate>();
  return candidates.map((candidate) => {
    if (candidate.error !== undefined) return candidate;
    const id = JSON.stringify([candidate.name, candidate.version]);
    const taken = first.get(id);
    if (taken !== undefined) return duplicate(candidate, taken, root);
    first.set(id, candidate);
    return candidate;
  });
}

function duplicate({ settings: _, ...candidate }: Candidate, first: Candidate, root: string): Candidate {
  const { name, version, file } = candidate;
  const message =
    `model "${name}" version "${version}" is in ${shortPath(first.file, root)} already; ` +
    "give one of them another name, or another parameters.version";
  const problem: Problem = { file, line: 1, column: 1, key: "name", message, severity: "error" };
  const problems = [...candidate.problems, problem];
  return { ...candidate, problems, error: loadError(problems, root) };
}
