import type { Finding } from "./problems.ts";

/** `${...}`, and `$${` for a literal `${`. */
const REFERENCE = /\$\$\{|\$\{([^}]*)\}/g;
const INSIDE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Interpolated {
  readonly value: unknown;
  /** Missing variables and references that cannot be understood. */
  readonly findings: readonly Finding[];
}

/**
 * Replaces `${NAME}` and `${NAME:-default}` in every string of a value; keys are left alone. The default
 * also stands in for an empty variable, as in a shell.
 */
export function interpolate(value: unknown, env: Environment): Interpolated {
  const findings: Finding[] = [];
  return { value: replaceIn(value, [], { env, findings }), findings };
}

interface Work {
  readonly env: Environment;
  readonly findings: Finding[];
}

function replaceIn(value: unknown, path: readonly PropertyKey[], work: Work): unknown {
  if (typeof value === "string") return replaceText(value, path, work);
  if (Array.isArray(value)) return value.map((item, i) => replaceIn(item, [...path, i], work));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, replaceIn(item, [...path, key], work)]),
  );
}

function replaceText(text: string, path: readonly PropertyKey[], work: Work): string {
  const fault = (message: string) => work.findings.push({ path, message, severity: "error" });
  return text.replace(REFERENCE, (whole: string, inside: string | undefined) => {
    if (inside === undefined) return "${";
    const parts = INSIDE.exec(inside);
    if (parts === null) {
      fault(`"${whole}" is no variable: write \${NAME} or \${NAME:-default}, and $\${ for a literal \${`);
      return whole;
    }
    const [, name = "", fallback] = parts;
    const value = work.env[name];
    if (fallback !== undefined) return value || fallback;
    if (value === undefined)
      fault(`the environment variable ${name} is not set; set it, or write \${${name}:-default}`);
    return value ?? whole;
  });
}
