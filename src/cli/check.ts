import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { isCapstanError, type RuntimePlugin } from "../contracts/index.ts";
import { localPath, schemeOf, withoutLatest } from "../host/local-path.ts";
import { modelMemoryFindings } from "../host/memory/findings.ts";
import { composeOptions, optionFindings, splitExtra } from "../host/options.ts";
import { loadPlugin, type Plugins, resolverFor } from "../host/plugins.ts";
import { type Candidate, scanRepository } from "../host/repository.ts";
import { locate, readDocument, type SettingsDocument } from "../settings/document.ts";
import { readEnvironment } from "../settings/environment.ts";
import type { Environment } from "../settings/interpolate.ts";
import { type LoadedServer, loadServerSettings } from "../settings/load-server.ts";
import type { ModelSettings } from "../settings/model.ts";
import { type Finding, formatProblem, isError, type Problem, SettingsError } from "../settings/problems.ts";
import { memoryProblems } from "./memory-problems.ts";

export interface CheckReport {
  readonly problems: readonly Problem[];
  /** Who gives each server setting that is not at its default; the one that counts first. */
  readonly sources: LoadedServer["sources"];
  /** Folders with settings, the broken ones among them. */
  readonly models: number;
}

/**
 * Checks settings.json and every model folder as `start` would read them; loads no model.
 * @param folder the model repository; absent: what the settings say.
 * @param file a settings file instead of settings.json.
 */
export async function checkSettings(
  folder: string | undefined,
  env: Environment,
  cwd: string,
  file?: string,
): Promise<CheckReport> {
  try {
    const server = await loadServerSettings({ cwd, env, file, flags: { model_repository_root: folder } });
    const memories = await memoryProblems(server, cwd);
    const names = Object.keys(server.settings.memory);
    const found = await repositoryProblems(server.settings.model_repository_root, server.env, names);
    return {
      problems: [...server.warnings, ...memories, ...found.problems],
      sources: server.sources,
      models: found.models,
    };
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    const full = await readEnvironment(cwd, env).catch(() => env);
    const found = await repositoryProblems(resolve(cwd, folder ?? "."), full);
    return { problems: [...error.problems, ...found.problems], sources: {}, models: found.models };
  }
}

/** The problems of {@link checkSettings} alone. */
export async function checkRepository(
  folder: string,
  env: Environment,
  cwd: string,
): Promise<readonly Problem[]> {
  return (await checkSettings(folder, env, cwd)).problems;
}

/** @param memories names of the server's; absent where its settings could not be read. */
async function repositoryProblems(root: string, env: Environment, memories?: readonly string[]) {
  try {
    const candidates = await scanRepository(root, env);
    const problems = await Promise.all(candidates.map((each) => candidateProblems(each, memories)));
    return { problems: withoutRepeats(problems.flat()), models: candidates.length };
  } catch (error) {
    if (!isCapstanError(error)) throw error;
    return {
      problems: [{ file: root, key: "", message: error.message, severity: "error" as const }],
      models: 0,
    };
  }
}

/** The versions of a folder share a file, and what is wrong with it. */
function withoutRepeats(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}

async function candidateProblems(
  candidate: Candidate,
  memories: readonly string[] | undefined,
): Promise<readonly Problem[]> {
  const { settings, problems, file, folder } = candidate;
  if (settings === undefined) return problems;
  const runtime = await pluginAt(["implementation"], "runtime", settings.implementation, folder);
  const findings = Array.isArray(runtime) ? runtime : await modelFindings(runtime, settings, folder);
  findings.push(...(await memoryOf(settings, memories, folder)));
  if (findings.length === 0) return problems;
  const document = await readDocument(file);
  return [...problems, ...findings.map((finding) => locate(document, atWrittenKey(finding, document.value)))];
}

async function memoryOf(settings: ModelSettings, names: readonly string[] | undefined, folder: string) {
  const { memory } = settings.parameters.extra;
  if (memory === undefined) return [];
  const findings = await modelMemoryFindings(memory, names, folder);
  return findings.map((finding) => ({ ...finding, path: [...EXTRA, "memory", ...finding.path] }));
}

/** `framework` may stand at the top of the file. */
function atWrittenKey(finding: Finding, written: SettingsDocument["value"]): Finding {
  const isFramework = finding.path.length === EXTRA.length + 1 && finding.path.at(-1) === "framework";
  return isFramework && Object.hasOwn(written, "framework") ? { ...finding, path: ["framework"] } : finding;
}

const EXTRA = ["parameters", "extra"];

async function modelFindings(runtime: RuntimePlugin, settings: ModelSettings, folder: string) {
  const options = await optionProblems(runtime, settings, folder);
  return runtime.uri === "address" ? options : [...options, ...(await artifactFindings(settings, folder))];
}

/** What the plugins of a model find wrong in its options, or the error that there is no such adapter. */
async function optionProblems(
  runtime: RuntimePlugin,
  settings: ModelSettings,
  folder: string,
): Promise<Finding[]> {
  const { options } = splitExtra(settings.parameters.extra);
  const adapter = await adapterOf(runtime, options.framework, folder);
  if (Array.isArray(adapter)) return adapter;
  const owners = [runtime, ...(adapter === undefined ? [] : [adapter])];
  const schema =
    owners.length === 1
      ? runtime.options
      : composeOptions(
          owners.map(({ kind, name, options }) => ({ owner: `${kind} ${name}`, schema: options })),
        );
  return optionFindings(schema, options).map((finding) => ({
    ...finding,
    path: [...EXTRA, ...finding.path],
  }));
}

/** Who resolves the uri, with what options; a file that is not there yet is only a warning. */
async function artifactFindings({ parameters }: ModelSettings, folder: string): Promise<Finding[]> {
  const { uri, extra } = parameters;
  if (uri === undefined) return [];
  const named = localPath(uri, folder);
  const path = named === undefined ? undefined : await withoutLatest(named);
  if (path !== undefined && !existsSync(path)) {
    return [{ path: ["parameters", "uri"], message: `there is no ${path}`, severity: "warning" }];
  }
  try {
    const { options } = await resolverFor(schemeOf(uri) ?? "file");
    const findings = optionFindings(options, splitExtra(extra).source);
    return findings.map((finding) => ({ ...finding, path: [...EXTRA, "source", ...finding.path] }));
  } catch (error) {
    return [asFinding(["parameters", "uri"], error)];
  }
}

/** The adapter that a runtime with an option `framework` is told to use. */
async function adapterOf(runtime: RuntimePlugin, framework: unknown, folder: string) {
  const takesOne = Object.hasOwn(runtime.options.shape, "framework") && typeof framework === "string";
  return takesOne ? pluginAt([...EXTRA, "framework"], "adapter", framework, folder) : undefined;
}

async function pluginAt<K extends "runtime" | "adapter">(
  path: readonly string[],
  kind: K,
  name: string,
  folder: string,
): Promise<Plugins[K] | Finding[]> {
  try {
    return await loadPlugin(kind, name, folder);
  } catch (error) {
    return [asFinding(path, error)];
  }
}

function asFinding(path: readonly string[], error: unknown): Finding {
  if (!isCapstanError(error)) throw error;
  return { path, message: error.message, severity: "error" };
}

interface CheckFlags {
  readonly settings?: string;
  readonly json?: boolean;
}

/** `capstan check`: exits 0 when there are only warnings, and 2 when there are errors. */
export function command(): Command {
  return new Command("check")
    .description("check settings.json and every model-settings.json, without loading a model")
    .argument("[folder]", "model repository (default: the one of the settings)")
    .option(
      "--settings <file>",
      "settings file (default: settings.json of the folder, else of the working directory)",
    )
    .option("--json", "print one JSON object")
    .action(async (folder: string | undefined, flags: CheckFlags) => {
      const cwd = process.cwd();
      const report = await checkSettings(folder, process.env, cwd, flags.settings);
      process.stdout.write(
        flags.json ? `${JSON.stringify(report, undefined, 2)}\n` : reportText(report, cwd),
      );
      if (report.problems.some(isError)) process.exitCode = 2;
    });
}

/** The folder on the command line: who gave it needs no note. */
const FOLDER_KEY = "model_repository_root";

/** Problems, the settings that variables or flags gave, and a last line that counts. */
export function reportText({ problems, sources, models }: CheckReport, cwd: string): string {
  const errors = problems.filter(isError).length;
  const lines = problems.map((problem) => `${problem.severity}: ${formatProblem(problem, cwd)}`);
  for (const [key, [from, ...over]] of Object.entries(sources)) {
    if (key === FOLDER_KEY || from?.includes(":")) continue;
    lines.push(`note: ${key} is from ${from}${over.length === 0 ? "" : `, and not from ${over.join(", ")}`}`);
  }
  lines.push(
    `${count(models, "model")}, ${count(errors, "error")}, ${count(problems.length - errors, "warning")}`,
  );
  return `${lines.join("\n")}\n`;
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;
