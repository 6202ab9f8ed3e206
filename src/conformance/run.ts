/** Runs the checks one after the other and collects what came of them. */

import { notApplicable } from "./applicability.ts";
import { allChecks } from "./checks/index.ts";
import type { Check } from "./define.ts";
import { discover } from "./discover.ts";
import { Connections, type Endpoint, Session } from "./session.ts";
import { CheckFailure, type Facts, NotApplicable, type Outcome, type Report, type Result } from "./types.ts";

/** Exchanges kept of a check that did not pass: the last ones are those that show why. */
const KEPT_EXCHANGES = 3;

export interface RunOptions extends Endpoint {
  readonly model?: string;
  /** Also the checks that load and unload the model. */
  readonly mayWrite: boolean;
  /** Told of each result as it comes. */
  onResult?(result: Result): void;
}

function outcomeOf(check: Check, error: unknown): { outcome: Outcome; reason: string } {
  if (error instanceof NotApplicable) return { outcome: "not-applicable", reason: error.message };
  const reason = error instanceof CheckFailure ? error.message : `the request failed: ${String(error)}`;
  return { outcome: check.level === "must" ? "fail" : "warn", reason };
}

/** Settles with the check, or rejects when its time is up: a check that ignores its signal is left behind. */
async function bounded(check: Check, session: Session, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(new CheckFailure("the server did not answer in time"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    await Promise.race([check.run(session), promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function runCheck(check: Check, connections: Connections, facts: Facts): Promise<Result> {
  const { run: _, needs, ...named } = check;
  const missing = notApplicable(facts, needs);
  if (missing !== undefined) return { ...named, outcome: "not-applicable", reason: missing, milliseconds: 0 };
  const started = performance.now();
  const signal = AbortSignal.timeout(connections.endpoint.timeoutMs);
  const session = new Session(connections, facts, signal);
  const milliseconds = (): number => Math.round(performance.now() - started);
  try {
    await bounded(check, session, signal);
    return { ...named, outcome: "pass", milliseconds: milliseconds() };
  } catch (error) {
    const exchanges = session.log.slice(-KEPT_EXCHANGES);
    return { ...named, ...outcomeOf(check, error), exchanges, milliseconds: milliseconds() };
  }
}

/**
 * Runs the suite against a server. The server is left as found.
 * @throws where nothing answers at the address.
 */
export async function runSuite(options: RunOptions, checks: readonly Check[] = allChecks): Promise<Report> {
  await using connections = new Connections(options);
  const facts = await discover(connections, options);
  const results: Result[] = [];
  for (const check of checks) {
    const result = await runCheck(check, connections, facts);
    options.onResult?.(result);
    results.push(result);
  }
  return {
    url: options.url,
    ...(options.grpc === undefined ? {} : { grpc: options.grpc }),
    server: { name: facts.serverName, version: facts.serverVersion },
    ...(facts.target ? { model: facts.target.name } : {}),
    results,
  };
}
