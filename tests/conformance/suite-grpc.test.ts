import { expect, test } from "vitest";
import { allChecks } from "../../src/conformance/checks/index.ts";
import { runSuite } from "../../src/conformance/run.ts";
import { type GrpcDefect, startFakeGrpc } from "./fake-grpc.ts";
import { startFakeHttp } from "./fake-http.ts";

const GRPC_CHECKS = allChecks.filter(({ needs }) => needs.includes("grpc"));
const QUICK = GRPC_CHECKS.filter(({ id }) => id !== "G12.size");

/** Ids of the checks that do not hold, and of those that were not tried. */
async function outcomes(
  defects: readonly GrpcDefect[],
  checks = QUICK,
): Promise<{ broken: string[]; untried: string[] }> {
  await using http = await startFakeHttp();
  await using grpc = await startFakeGrpc(...defects);
  const options = { url: http.url, grpc: grpc.address, headers: {}, timeoutMs: 10_000, mayWrite: false };
  const { results } = await runSuite(options, checks);
  const ids = (...wanted: string[]): string[] =>
    results.filter(({ outcome }) => wanted.includes(outcome)).map(({ id }) => id);
  return { broken: ids("fail", "warn"), untried: ids("not-applicable") };
}

test("a server that keeps the rules passes, FP16 apart, which it does not serve", async () => {
  expect(await outcomes([], GRPC_CHECKS)).toEqual({ broken: [], untried: ["G8.FP16"] });
});

const BROKEN: readonly [GrpcDefect, readonly string[]][] = [
  ["both-contents", ["G4.both"]],
  ["raw-length", ["G5.long"]],
  ["any-field", ["G7.wrong-field", "G7.two-fields"]],
  ["wraps", ["G7.range"]],
  ["always-raw", ["G9.typed"]],
  ["no-id", ["G10.id", "G11.stream", "G11.error"]],
  ["wrong-code", ["G2.not-found", "G2.invalid-argument"]],
  ["stream-dies", ["G11.error", "G11.error-id"]],
  ["not-ready-error", ["G3.unknown-not-ready"]],
];

test.each(BROKEN)("%s fails the checks of its rule and no other", async (defect, ids) => {
  expect((await outcomes([defect])).broken).toEqual(ids);
});
