/** What processes and the machine used, from Linux's /proc (see proc_pid_stat(5) and proc_stat(5)). */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";

const TICK_MS = 1000 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  /** User and system time, with that of children already waited for. */
  readonly cpuMs: number;
}

/** Undefined for a process that has just gone. */
function processStat(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command's name stands in parentheses and may hold anything: fields are counted from behind it.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return { pid, parent: Number(fields[1]), cpuMs: ticks * TICK_MS };
  } catch {
    return undefined;
  }
}

function processTree(root: number): ProcessStat[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const all = pids.map((pid) => processStat(Number(pid))).filter((stat) => stat !== undefined);
  const tree = all.filter((stat) => stat.pid === root);
  for (const stat of tree) tree.push(...all.filter((child) => child.parent === stat.pid));
  return tree;
}

/** A process and its descendants, parents before children. */
export function processIds(root: number): number[] {
  return processTree(root).map(({ pid }) => pid);
}

/** CPU time of a process and its descendants so far, in milliseconds. */
export function treeCpuMs(root: number): number {
  return processTree(root).reduce((sum, stat) => sum + stat.cpuMs, 0);
}

/** Resident memory of a process and its descendants, in MB. */
export function treeRssMb(root: number): number {
  const sizes = processIds(root).map(residentKb);
  return sizes.reduce((sum, kb) => sum + kb, 0) / 1024;
}

function residentKb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
}

export interface MachineSample {
  readonly totalMs: number;
  readonly idleMs: number;
}

export function sampleMachine(): MachineSample {
  const fields = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "")
    .split(/\s+/)
    .slice(1, 9)
    .map(Number);
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  return { totalMs: total * TICK_MS, idleMs: ((fields[3] ?? 0) + (fields[4] ?? 0)) * TICK_MS };
}

/** How busy the machine was between two samples. */
export interface Machine {
  /** Share of all cores' time that was idle, 0 to 1. */
  readonly idle: number;
  /** Share of all cores' time that went to other processes than the measured ones, 0 to 1. */
  readonly others: number;
  /** Load average of the last minute, and the number of cores it is spread over. */
  readonly load: number;
  readonly cores: number;
}

export function machineBetween(before: MachineSample, after: MachineSample, measuredMs: number): Machine {
  const total = after.totalMs - before.totalMs;
  const idle = after.idleMs - before.idleMs;
  return {
    idle: idle / total,
    others: Math.max(0, total - idle - measuredMs) / total,
    load: loadavg()[0] ?? 0,
    cores: availableParallelism(),
  };
}
