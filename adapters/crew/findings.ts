import { closestMatch } from "leven";
import type { Call, ModelSpec } from "../../src/contracts/index.ts";
import { type Document, type Fields, isFields, type Path } from "./document.ts";
import { failed } from "./failed.ts";
import { type FieldSet, isSilent } from "./fields.ts";

/** What is found in a crew's files: all mistakes are told at once, and what has no effect here in one warning. */
export class Findings {
  readonly #errors: string[] = [];
  readonly #ignored: string[] = [];

  get failed(): boolean {
    return this.#errors.length > 0;
  }

  error(document: Document, path: Path, message: string): void {
    this.#errors.push(`${document.place(path)}: ${message}`);
  }

  /** The fields at a path, checked; undefined when there is a mistake in them. */
  fields<T>(document: Document, path: Path, value: unknown, set: FieldSet<T>): T | undefined {
    if (!isFields(value)) {
      this.error(document, path, "must be an object of fields");
      return undefined;
    }
    const before = this.#errors.length;
    const known: Record<string, unknown> = {};
    for (const [key, field] of Object.entries(flattened(value))) {
      if (field === null) continue;
      if (this.#python(document, [...path, key], field)) continue;
      if (Object.hasOwn(set.shape, key)) known[key] = field;
      else this.#other(document, [...path, key], key, set);
    }
    const result = set.schema.safeParse(known);
    if (result.success) return this.#errors.length === before ? result.data : undefined;
    for (const issue of result.error.issues) {
      const missing = !Object.hasOwn(known, issue.path[0] as string);
      const message = missing ? "is missing" : issue.message;
      this.error(document, [...path, ...(issue.path as Path)], message);
    }
    return undefined;
  }

  /** @throws CapstanError LOAD_FAILED when there was a mistake. */
  settle(model: ModelSpec, { log }: Call): void {
    if (this.#errors.length > 0) throw failed(model, this.#errors.join("\n"));
    if (this.#ignored.length === 0) return;
    const text = `These fields of CrewAI have no effect here: ${this.#ignored.join(", ")}`;
    log.warn({ model: model.name }, text);
  }

  #other<T>(
    document: Document,
    path: Path,
    key: string,
    { shape, withoutEffect, refused }: FieldSet<T>,
  ): void {
    if (isSilent(key)) return;
    const reason = Object.hasOwn(refused, key) ? refused[key] : undefined;
    if (reason !== undefined) this.error(document, path, `is not supported: ${reason}`);
    else if (withoutEffect.has(key)) this.#ignored.push(document.place(path));
    else
      this.error(
        document,
        path,
        `CrewAI has no such field${hint(key, [...Object.keys(shape), ...withoutEffect])}`,
      );
  }

  #python(document: Document, path: Path, value: unknown): boolean {
    const found = pythonReference(value);
    if (found === undefined) return false;
    const what = `{"python": ${JSON.stringify(found)}} is Python, which this server does not run`;
    const name = found.split(".").at(-1);
    const advice = path.includes("tools") ? `: write tools/${name}.ts and name it "${name}"` : "";
    this.error(document, path, `${what}${advice}`);
    return true;
  }
}

/** `settings` holds further fields of an agent. */
function flattened({ settings, ...fields }: Fields): Fields {
  return isFields(settings) ? { ...settings, ...fields } : fields;
}

function pythonReference(value: unknown): string | undefined {
  if (Array.isArray(value)) return value.map(pythonReference).find((found) => found !== undefined);
  if (!isFields(value)) return undefined;
  return Object.keys(value).length === 1 && typeof value.python === "string" ? value.python : undefined;
}

/** `; did you mean "role"?`, or "" when nothing is close. */
export function hint(name: string, candidates: readonly string[]): string {
  const match = closestMatch(name, [...candidates], {
    maxDistance: Math.max(2, Math.floor(name.length / 3)),
  });
  return match === undefined ? "" : `; did you mean "${match}"?`;
}
