import path from "node:path";
import { treeRssMb } from "../cpu.ts";
import { type Figure, figure } from "../figure.ts";
import { startWithModels } from "../with-models.ts";
import { fuzzGrpc } from "./over-grpc.ts";
import { fuzzHttp } from "./over-http.ts";

/** Half of them over HTTP, half over gRPC. */
const REQUESTS_A_ROUND = 50_000;
/** In the first ones the heap grows to its working size; memory is compared over the others. */
const [WARM_ROUNDS, ROUNDS] = [2, 4];
const CONCURRENT = 16;

/** A server's own failure; what it cannot do at all (501) is none. */
const isFailure = (status: number) => status === 0 || (status >= 500 && status !== 501);
/** UNIMPLEMENTED is what it cannot do at all. */
const FAILURES = ["UNKNOWN", "INTERNAL", "DATA_LOSS", "UNAVAILABLE", "DEADLINE_EXCEEDED"];

/** Requests that are wrong in one to three places: each must get an answer that says so. */
export async function runFuzzSuite(models: string, report: (figure: Figure) => void): Promise<void> {
  const parameters = { uri: path.resolve(models, "iris/model.onnx"), version: "1" };
  const server = await startWithModels({
    iris: { implementation: "onnx", parameters },
    echo: { implementation: "llm", parameters: { extra: { framework: "echo" } } },
  });
  const { http, grpc } = server.ready;
  const statuses = new Map<number | string, number>();
  const rss: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [status, count] of [
      ...(await fuzzHttp(http, REQUESTS_A_ROUND / 2, CONCURRENT, round)),
      ...(await fuzzGrpc(grpc!, REQUESTS_A_ROUND / 2, CONCURRENT, round)),
    ] as [number | string, number][]) {
      statuses.set(status, (statuses.get(status) ?? 0) + count);
    }
    rss.push(treeRssMb(server.pid));
  }
  const exit = await server.stop();
  const failures = [...statuses].filter(([status]) =>
    typeof status === "number" ? isFailure(status) : FAILURES.includes(status),
  );
  const total = (counts: Iterable<[unknown, number]>) =>
    [...counts].reduce((sum, [, count]) => sum + count, 0);
  report({ name: "faulty requests by status", measured: listOf(statuses) });
  report(figure("faulty requests", total(statuses), "", undefined, 0));
  report(figure("answered with a failure of the server", total(failures), "", ["<=", 0], 0));
  report(figure("exit code after SIGTERM", Number(exit), "", ["<=", 0], 0));
  const [warm, last] = [rss[WARM_ROUNDS - 1]!, rss.at(-1)!];
  report(figure("RSS gained by the second 100,000", last - warm, `MB of ${last.toFixed(0)}`, ["<=", 20], 0));
}

function listOf(statuses: ReadonlyMap<number | string, number>): string {
  const entries = [...statuses].sort(([a], [b]) => String(a).localeCompare(String(b)));
  return entries.map(([status, count]) => `${status} ${count}`).join(", ");
}
