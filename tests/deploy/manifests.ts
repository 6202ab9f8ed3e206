import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseAllDocuments } from "yaml";
import { environmentSettings, unknownVariables } from "../../src/settings/environment.ts";
import { ROOT } from "../support/source-files.ts";

export const DEPLOY = path.join(ROOT, "deploy");

/** The only document of a YAML file below deploy/; a fault of its syntax throws. */
export async function manifest<T>(file: string): Promise<T> {
  const documents = parseAllDocuments(await readFile(path.join(DEPLOY, file), "utf8"), { merge: true });
  if (documents.length !== 1) throw new Error(`${file} has ${documents.length} documents`);
  const [document] = documents;
  const fault = document!.errors[0] ?? document!.warnings[0];
  if (fault !== undefined) throw fault;
  return document!.toJS() as T;
}

/** Variables that the server would warn about, or that set nothing. */
export function uselessVariables(env: Readonly<Record<string, string>>): string[] {
  const used = new Set(environmentSettings(env, ROOT).map(({ from }) => from));
  const warned = unknownVariables(env).map(({ file }) => file);
  const silent = Object.keys(env).filter((name) => !used.has(name) && !READ_ELSEWHERE.test(name));
  return [...new Set([...warned, ...silent])];
}

/** The seed of access control, and what describes KServe's model. */
const READ_ELSEWHERE = /^(CAPSTAN_ADMIN_KEY|MLSERVER_MODEL_\w+)$/;

/** The number of "30s". */
export const seconds = (text: string) => Number(/^(\d+)s$/.exec(text)![1]);
