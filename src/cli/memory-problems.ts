import { resolve } from "node:path";
import { memoryFindings } from "../host/memory/findings.ts";
import { emptyDocument, locate, readDocument } from "../settings/document.ts";
import { type LoadedServer, SERVER_FILE } from "../settings/load-server.ts";
import { type Problem, SettingsError } from "../settings/problems.ts";

/** What is wrong with the memories of the server's settings, each at its place in the file. */
export async function memoryProblems(
  { settings, file }: Pick<LoadedServer, "settings" | "file">,
  cwd: string,
): Promise<Problem[]> {
  const findings = await memoryFindings(settings.memory, cwd);
  if (findings.length === 0) return [];
  const document = file === undefined ? emptyDocument(resolve(cwd, SERVER_FILE)) : await readDocument(file);
  return findings.map((finding) => locate(document, finding));
}

/** @throws SettingsError when a memory of the settings cannot be had. */
export async function checkMemories(server: Pick<LoadedServer, "settings" | "file">, cwd: string) {
  const problems = await memoryProblems(server, cwd);
  if (problems.length > 0) throw new SettingsError(problems, cwd);
}
