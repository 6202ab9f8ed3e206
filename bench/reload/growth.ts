import { setTimeout as sleep } from "node:timers/promises";
import { treeRssMb } from "../cpu.ts";
import { baseUrl, type RunningServer } from "../server-process.ts";

export interface Growth {
  readonly model: string;
  readonly reloads: number;
  /** Resident memory of the server's processes after the warm-up, and in the end. */
  readonly beforeMb: number;
  readonly afterMb: number;
}

/** Most reloads before memory is first read: caches and pools fill in the beginning. */
const WARM_UP = 100;
const REST_MS = 2000;

/** Loads a model anew again and again, one after the other. */
export async function measureGrowth(
  { pid, ready }: RunningServer,
  model: string,
  reloads: number,
): Promise<Growth> {
  const url = `${baseUrl(ready.http)}/v2/repository/models/${model}/load`;
  await reload(url, Math.min(WARM_UP, reloads));
  const beforeMb = treeRssMb(pid);
  await reload(url, reloads);
  return { model, reloads, beforeMb, afterMb: treeRssMb(pid) };
}

async function reload(url: string, times: number): Promise<void> {
  for (let turn = 0; turn < times; turn++) {
    const response = await fetch(url, { method: "POST" });
    if (!response.ok) throw new Error(`A reload answered ${response.status}: ${await response.text()}`);
    await response.body?.cancel();
  }
  await sleep(REST_MS);
}
