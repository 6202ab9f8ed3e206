import { CapstanError, type ErrorCode, type OptionsIssue, type OptionsSchema } from "../contracts/index.ts";
import { milliseconds } from "../settings/fields.ts";
import type { ModelSettings } from "../settings/model.ts";
import { type Finding, keyText } from "../settings/problems.ts";
import { strictFindings } from "../settings/validate.ts";
import type { AdmissionLimits } from "./admission.ts";

/** Someone who reads keys of `parameters.extra`. */
export interface OptionsOwner {
  /** Shown in messages, such as `runtime llm`; the key of its options in the result. */
  readonly owner: string;
  readonly schema: OptionsSchema<unknown>;
}

/**
 * One schema out of several owners' schemas: each is given the keys it owns, and a key that nobody owns is
 * an issue. The result has each owner's options under its name.
 * @throws CapstanError LOAD_FAILED when two owners have the same key.
 */
export function composeOptions(
  owners: readonly OptionsOwner[],
): OptionsSchema<Readonly<Record<string, unknown>>> {
  const owned = ownersByKey(owners);
  const shape = Object.assign({}, ...owners.map(({ schema }) => schema.shape)) as Record<string, unknown>;
  return {
    shape,
    safeParse(value) {
      const given = Object.entries(value ?? {});
      const unknown = given.map(([key]) => key).filter((key) => !owned.has(key));
      const issues: OptionsIssue[] =
        unknown.length === 0
          ? []
          : [{ code: "unrecognized_keys", path: [], keys: unknown, message: "Unknown keys" }];
      const data: Record<string, unknown> = {};
      for (const { owner, schema } of owners) {
        const result = schema.safeParse(
          Object.fromEntries(given.filter(([key]) => owned.get(key) === owner)),
        );
        if (result.success) data[owner] = result.data;
        else issues.push(...result.error.issues);
      }
      return issues.length === 0 ? { success: true, data } : { success: false, error: { issues } };
    },
  };
}

function ownersByKey(owners: readonly OptionsOwner[]): Map<string, string> {
  const owned = new Map<string, string>();
  for (const { owner, schema } of owners) {
    for (const key of Object.keys(schema.shape)) {
      const other = owned.get(key);
      if (other !== undefined) {
        throw new CapstanError(
          "LOAD_FAILED",
          `Both ${other} and ${owner} have an option '${key}': one must rename it`,
        );
      }
      owned.set(key, owner);
    }
  }
  return owned;
}

/** What is wrong with a plugin's options; paths start at the options themselves. */
export function optionFindings(schema: OptionsSchema<unknown>, value: unknown): Finding[] {
  const result = schema.safeParse(value ?? {});
  return result.success ? [] : strictFindings(result.error.issues, schema);
}

/**
 * Options with their defaults filled in; absent options are `{}`.
 * @param where what the keys are relative to, such as `iris/model-settings.json: parameters.extra`.
 * @throws CapstanError with a line for each key that is unknown or wrong.
 */
export function parseOptions<O>(
  schema: OptionsSchema<O>,
  value: unknown,
  where: string,
  code: ErrorCode = "LOAD_FAILED",
): O {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const faults = optionFindings(schema, value).map(({ path, message }) =>
    path.length === 0 ? message : `${keyText(path)}: ${message}`,
  );
  throw new CapstanError(code, `${where}: ${faults.join("; ")}`);
}

export interface SplitExtra {
  /** The resolver's options: `extra.source` without what the host reads itself. */
  readonly source: Readonly<Record<string, unknown>>;
  readonly reload: "swap" | "recreate";
  /** Absent: the model takes every request at once. */
  readonly admission?: AdmissionLimits;
  readonly memory: ModelSettings["parameters"]["extra"]["memory"];
  readonly canary: ModelSettings["parameters"]["extra"]["canary"];
  readonly isolation: ModelSettings["parameters"]["extra"]["isolation"];
  readonly workers: number | undefined;
  /** The options of the runtime and its adapter. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Takes the host's own keys out of `parameters.extra`. */
export function splitExtra(extra: ModelSettings["parameters"]["extra"]): SplitExtra {
  const { source = {}, reload = "swap", admission, memory, canary, isolation, workers, ...options } = extra;
  const { poll: _, trust_code: __, ...resolver } = source;
  const limits = admission && { ...admission, timeout: milliseconds(admission.timeout) };
  return { source: resolver, reload, admission: limits, memory, canary, isolation, workers, options };
}
