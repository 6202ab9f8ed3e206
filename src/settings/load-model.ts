import { basename, dirname } from "node:path";
import { emptyDocument, locate, readDocument, type SettingsDocument } from "./document.ts";
import { type Environment, interpolate } from "./interpolate.ts";
import { type ModelSettings, modelSettingsSchema } from "./model.ts";
import { byPlace, type Finding, isError, type Problem } from "./problems.ts";
import { validate } from "./validate.ts";

const PREFIX = "MLSERVER_MODEL_";

/** Fields that MLServer reads from `MLSERVER_MODEL_*`; those of `parameters` have no prefix of their own. */
const FIELDS = ["name", "implementation", "platform", "max_batch_size", "max_batch_time", "cache_enabled"];
const LISTS = ["versions", "inputs", "outputs"];
const PARAMETERS = ["uri", "version", "format", "content_type"];

export interface ModelFile {
  /** Absent when there is an error. The implementation is as written. */
  readonly settings?: ModelSettings;
  /** As written, variables not replaced: what may be shown. */
  readonly raw: Readonly<Record<string, unknown>>;
  readonly problems: readonly Problem[];
  readonly document: SettingsDocument;
}

/**
 * Reads one model-settings.json. `MLSERVER_MODEL_*` variables stand in for fields that the file leaves out,
 * and the folder's name for the name.
 */
export async function readModelSettings(file: string, env: Environment): Promise<ModelFile> {
  return checked(await readDocument(file), env);
}

/**
 * The one model that KServe describes by `MLSERVER_MODEL_NAME`, `MLSERVER_MODEL_IMPLEMENTATION` and
 * `MLSERVER_MODEL_URI` alone; undefined when the first two are not set.
 * @param folder where relative paths start from.
 */
export function modelFromEnvironment(env: Environment, folder: string): ModelFile | undefined {
  if (!env[`${PREFIX}NAME`] || !env[`${PREFIX}IMPLEMENTATION`]) return undefined;
  return checked(emptyDocument(`${folder}/model-settings.json`), env);
}

/** Settings that have no file: their paths start at `folder`. */
export function modelFromValue(value: Readonly<Record<string, unknown>>, folder: string): ModelFile {
  return checked({ ...emptyDocument(`${folder}/model-settings.json`), value }, {});
}

function checked(document: SettingsDocument, env: Environment): ModelFile {
  const written = { raw: document.value, document };
  if (document.problems.some(isError)) return { ...written, problems: document.problems };
  const { value, findings: missing } = interpolate(document.value, env);
  const completed = withDefaults(value as Record<string, unknown>, environmentDefaults(env));
  const { data, findings } = validate(modelSettingsSchema, completed);
  const own = data === undefined ? [] : meaningFindings(data);
  const found = [...missing, ...findings, ...own].map((finding) => locate(document, finding));
  const problems = [...document.problems, ...found].sort(byPlace);
  if (data === undefined || problems.some(isError)) return { ...written, problems };
  const settings = { ...data, name: data.name || basename(dirname(document.file)) };
  return { ...written, problems, settings };
}

/** Variables of the environment in the shape of the file; an empty one is not set. */
function environmentDefaults(env: Environment): Record<string, unknown> {
  const read = (names: readonly string[]) =>
    Object.fromEntries(
      names.flatMap((name) => {
        const text = env[`${PREFIX}${name.toUpperCase()}`];
        return text ? [[name, LISTS.includes(name) ? parsedList(text) : text]] : [];
      }),
    );
  return { ...read([...FIELDS, ...LISTS]), parameters: read(PARAMETERS) };
}

/** A list is JSON; text that is not is left for the schema to refuse. */
function parsedList(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function withDefaults(
  value: Record<string, unknown>,
  defaults: Record<string, unknown>,
): Record<string, unknown> {
  const { name, parameters = {} } = value;
  const merged: Record<string, unknown> = { ...defaults, ...value };
  if (name === "" && defaults.name !== undefined) merged.name = defaults.name;
  const isObject = typeof parameters === "object" && parameters !== null && !Array.isArray(parameters);
  merged.parameters = isObject ? { ...(defaults.parameters as object), ...parameters } : parameters;
  return merged;
}

const NO_PYTHON =
  'has no effect: Python environments are not loaded; run the model in a Python server and use the "remote" implementation';

/** Faults that only show in what the fields mean. */
function meaningFindings({ parameters }: ModelSettings): Finding[] {
  const findings: Finding[] = [];
  const warn = (path: readonly string[], message: string) =>
    findings.push({ path, message, severity: "warning" });
  for (const key of ["environment_tarball", "environment_path"] as const) {
    if (parameters[key] !== undefined) warn(["parameters", key], NO_PYTHON);
  }
  return findings;
}
