import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { TestPostgres } from "../../tests/support/postgres.ts";
import { type Figure, figure } from "../figure.ts";
import { summarise } from "../report.ts";
import type { LogRound } from "./rows.ts";

const PER_SECOND = 1000;

/** What a row of the inference log takes of the server's CPU: on the path of the request, in batches, and in the driver. */
export async function runLogSuite(
  { rounds, seconds }: { rounds: number; seconds: number },
  report: (figure: Figure) => void,
): Promise<void> {
  await using opened = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), "capstan-bench-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const postgres = opened.use(await TestPostgres.start());
  for (const [name, url] of [
    ["SQLite", "sqlite:log.db"],
    ["Postgres", postgres.url],
  ] as const) {
    const measured = await roundsOf(url, folder, seconds, rounds);
    const costs = measured.map((each) => each.with - each.without);
    const row = `inference log in ${name}, CPU per row at ${PER_SECOND} rows/s`;
    report(figure(`${row} (median)`, summarise(costs).median, "us"));
    report(figure(`${row} (min)`, summarise(costs).min, "us", ["<=", 5]));
    const atOnce = summarise(measured.map((each) => each.atOnce)).min;
    report(figure(`inference log in ${name}, CPU per row in full batches (min)`, atOnce, "us"));
  }
}

/** The data base's own process is not counted, where it has one. */
async function roundsOf(url: string, cwd: string, seconds: number, rounds: number): Promise<LogRound[]> {
  const script = path.join(import.meta.dirname, "rows.ts");
  const args = [script, url, `${PER_SECOND}`, `${seconds}`, `${rounds}`];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd });
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as LogRound);
}
