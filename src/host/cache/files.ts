import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** JSON that is there whole or not at all: a process may be killed at any point. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const aside = `${path}.${ownedName()}`;
  try {
    await writeFile(aside, JSON.stringify(value));
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

/** Undefined where there is none, or none that can be read. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as T;
  } catch {
    return undefined;
  }
}

/**
 * When a process started, in the kernel's ticks (proc_pid_stat(5), field 22); undefined where there is no /proc. Ids are
 * given again: a container's first process has the same at every start.
 */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command's name stands in parentheses and may hold anything: fields are counted from behind it.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

const OWN_START = startOf(process.pid);

/** A name that nothing else has, and that says which process it is of. */
export function ownedName(): string {
  const owner = OWN_START === undefined ? String(process.pid) : `${process.pid}.${OWN_START}`;
  return `${owner}-${randomUUID()}`;
}

/** Whether the process that a name begins with is still there. */
export function isOwnerAlive(name: string): boolean {
  const [, id, start] = /^(\d+)(?:\.(\d+))?-/.exec(name) ?? [];
  if (id === undefined) return false;
  const found = startOf(Number(id));
  if (start !== undefined && found !== undefined && start !== found) return false;
  try {
    process.kill(Number(id), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
