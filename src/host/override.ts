import { isDeepStrictEqual } from "node:util";
import { CapstanError, invalid } from "../contracts/index.ts";
import { type ModelSettings, modelSettingsSchema } from "../settings/model.ts";

/** Settings that only describe or tune: a repository call may change them. */
const TUNABLE = ["platform", "versions", "inputs", "outputs", "max_batch_size", "max_batch_time"];

/**
 * Applies the `config` parameter of a repository load call to a model's settings.
 * A caller may tune a model, and may repeat what it has; it may not change code, files or addresses, and its
 * strings are taken as they are (no `${VAR}`).
 * @param tunableOptions keys of `parameters.extra` that the runtime lets callers change.
 * @throws CapstanError INVALID_ARGUMENT for text that is not settings, PERMISSION_DENIED for a fixed key.
 */
export function applyOverride(
  settings: ModelSettings,
  config: string,
  tunableOptions: readonly string[],
): ModelSettings {
  const given = parseObject(config);
  const merged: Record<string, unknown> = { ...settings };
  for (const [key, value] of Object.entries(given)) {
    if (key === "parameters") merged[key] = mergeParameters(settings, value, tunableOptions);
    else if (TUNABLE.includes(key)) merged[key] = value;
    else refuseChange(key, value, settings[key as keyof ModelSettings]);
  }
  const parsed = modelSettingsSchema.safeParse(merged);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw invalid(`Parameter 'config': ${issues.join("; ")}`);
}

function parseObject(config: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(config);
  } catch (cause) {
    throw invalid(`Parameter 'config' must be JSON text of a model-settings.json: ${String(cause)}`, {
      cause,
    });
  }
  return asObject(value, "config");
}

function mergeParameters(settings: ModelSettings, value: unknown, tunableOptions: readonly string[]) {
  const current = settings.parameters;
  const extra: Record<string, unknown> = { ...current.extra };
  for (const [key, given] of Object.entries(asObject(value, "config.parameters"))) {
    if (key !== "extra") {
      refuseChange(`parameters.${key}`, given, current[key as keyof typeof current]);
      continue;
    }
    for (const [option, wanted] of Object.entries(asObject(given, "config.parameters.extra"))) {
      if (!tunableOptions.includes(option)) refuseChange(`parameters.extra.${option}`, wanted, extra[option]);
      extra[option] = wanted;
    }
  }
  return { ...current, extra };
}

function refuseChange(key: string, given: unknown, current: unknown): void {
  if (isDeepStrictEqual(given, current)) return;
  throw new CapstanError(
    "PERMISSION_DENIED",
    `A repository call may not change '${key}': edit the folder's model-settings.json instead`,
  );
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw invalid(`Parameter '${what}' must be an object`);
}
