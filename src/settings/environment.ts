import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { basename, join } from "node:path";
import { parseEnv } from "node:util";
import { isPath } from "./gateway-environment.ts";
import type { Environment } from "./interpolate.ts";
import { hint, nearest } from "./nearest.ts";
import { type Problem, SettingsError } from "./problems.ts";
import { serverSettingsSchema } from "./server.ts";
import { KEYS_WITHOUT_EFFECT } from "./without-effect.ts";

const OWN_PREFIX = "CAPSTAN_";
/** Weakest first. */
const PREFIXES = ["MLSERVER_", OWN_PREFIX];

/** What one source says: a field of settings.json, or with a longer path a field inside it. */
export interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
  /** The variable or flag it comes from. */
  readonly from: string;
}

/**
 * The environment, with what a `.env` file in the working directory adds to it.
 * @throws SettingsError when there is such a file and it cannot be read.
 */
export async function readEnvironment(cwd: string, env: Environment): Promise<Environment> {
  const file = join(cwd, ".env");
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "EISDIR") return "";
    throw new SettingsError(
      [{ file, key: "", message: `cannot be read: ${error.message}`, severity: "error" }],
      cwd,
    );
  });
  return { ...parseEnv(text), ...env };
}

/** Settings that variables give, weakest first: the bare names, then `MLSERVER_*`, then `CAPSTAN_*`. */
export function environmentSettings(env: Environment, cwd: string): Setting[] {
  const prefixed = PREFIXES.flatMap((prefix) =>
    Object.keys(env).flatMap((variable) => {
      const path = variable.startsWith(prefix) ? fieldPath(variable.slice(prefix.length)) : undefined;
      const text = env[variable];
      if (path === undefined || text === undefined || isServiceLink(text)) return [];
      return [{ path, value: decoded(text), from: variable }];
    }),
  );
  return [...bareSettings(env, cwd), ...prefixed];
}

const FIELDS: readonly string[] = [
  ...Object.keys(serverSettingsSchema.shape).filter((key) => key !== "$schema"),
  ...Object.keys(KEYS_WITHOUT_EFFECT),
];

/** `TLS__CERT` is the field `cert` of `tls`. */
function fieldPath(name: string): string[] | undefined {
  const path = name.toLowerCase().split("__");
  return FIELDS.includes(path[0]!) ? path : undefined;
}

/** Kubernetes names the address of a service `capstan-http` CAPSTAN_HTTP_PORT, with such a value. */
const isServiceLink = (text: string) => /^(tcp|udp|sctp):\/\//.test(text);

/** Objects, lists and null are written as JSON; all other text is left for the field's own schema. */
function decoded(text: string): unknown {
  if (!/^\s*([{[]|null\s*$)/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The names that LLM gateways are started with. They are common words, so only fitting values count. */
function bareSettings(env: Environment, cwd: string): Setting[] {
  const { HOST, PORT, LOG_LEVEL, METRICS_ENABLED, MODEL_NAME, DEFAULT_MODEL, DATABASE_URL, REDIS_URL } = env;
  const settings: Setting[] = [];
  const set = (key: string, value: unknown, from: string) =>
    settings.push({ path: key.split("."), value, from });
  if (HOST && (isIP(HOST) !== 0 || HOST === "localhost")) set("host", HOST, "HOST");
  if (PORT && !isServiceLink(PORT)) set("http_port", PORT, "PORT");
  if (LOG_LEVEL) set("log_level", LOG_LEVEL, "LOG_LEVEL");
  if (/^(false|0|no|off)$/i.test(METRICS_ENABLED ?? "")) set("metrics_endpoint", null, "METRICS_ENABLED");
  if (MODEL_NAME && !isPath(MODEL_NAME, cwd)) set("default_model", basename(MODEL_NAME), "MODEL_NAME");
  if (DATABASE_URL) set("auth.database_url", DATABASE_URL, "DATABASE_URL");
  if (REDIS_URL) set("redis_url", REDIS_URL, "REDIS_URL");
  if (DEFAULT_MODEL) set("default_model", DEFAULT_MODEL, "DEFAULT_MODEL");
  return settings;
}

/** Variables of ours that nothing reads, and those of MLServer that look misspelt. */
export function unknownVariables(env: Environment): Problem[] {
  return Object.keys(env).flatMap((variable) => {
    const message = unknownMessage(variable, env[variable] ?? "");
    return message === undefined ? [] : [{ file: variable, key: "", message, severity: "warning" as const }];
  });
}

/** Kubernetes adds these for every service. */
const SERVICE_VARIABLE = /_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP|SCTP)(_|$)|$)/;

/** Read where they are used: they stand in no settings. */
const SECRETS: readonly string[] = ["CAPSTAN_ADMIN_KEY"];

function unknownMessage(variable: string, text: string): string | undefined {
  const prefix = PREFIXES.find((start) => variable.startsWith(start));
  if (prefix === undefined || SECRETS.includes(variable) || variable.startsWith("MLSERVER_MODEL_"))
    return undefined;
  const name = variable.slice(prefix.length);
  if (isServiceLink(text)) return `is the address of a Kubernetes service and not used as a setting`;
  if (fieldPath(name) !== undefined) return undefined;
  const isOurs = prefix === OWN_PREFIX && !SERVICE_VARIABLE.test(variable);
  if (!isOurs && nearest(name, FIELDS) === undefined) return undefined;
  const variables = FIELDS.map((field) => `${prefix}${field.toUpperCase()}`);
  return `is no setting${hint(variable, variables)}`;
}
