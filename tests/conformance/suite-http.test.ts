import { expect, test } from "vitest";
import { allChecks } from "../../src/conformance/checks/index.ts";
import type { Check } from "../../src/conformance/define.ts";
import { runSuite } from "../../src/conformance/run.ts";
import type { Report } from "../../src/conformance/types.ts";
import { type Defect, startFakeHttp } from "./fake-http.ts";

/** R16.size waits for a server that does not answer; one run of it is enough. */
const QUICK = allChecks.filter(({ id }) => !["R16.size", "R16.no-http"].includes(id));

async function reportOf(
  defects: readonly Defect[],
  checks: readonly Check[] = QUICK,
  mayWrite = false,
): Promise<Report> {
  await using server = await startFakeHttp(...defects);
  return await runSuite({ url: server.url, headers: {}, timeoutMs: 10_000, mayWrite }, checks);
}

function notHeld({ results }: Report): string[] {
  return results.filter(({ outcome }) => outcome === "fail" || outcome === "warn").map(({ id }) => id);
}

test("a server that keeps the rules passes every check that applies to it", async () => {
  const report = await reportOf([], allChecks, true);
  expect(report.results.filter(({ outcome }) => outcome === "fail" || outcome === "warn")).toEqual([]);
  expect(report.model).toBe("v2_identity");
});

test("what cannot be tried is not applicable, with the reason, and never passed", async () => {
  const { results } = await reportOf([]);
  const reasons = new Map(
    results.map(({ id, outcome, reason }) => [id, outcome === "not-applicable" ? reason : ""]),
  );
  expect(reasons.get("G1.live")).toMatch(/--grpc/);
  expect(reasons.get("REPO.unload-load")).toMatch(/--repository/);
  expect(reasons.get("B.FP16")).toMatch(/FP16/);
  expect(reasons.get("R2.newest")).toMatch(/one version/);
});

const BROKEN: readonly [Defect, readonly string[]][] = [
  ["no-id", ["R8.id-echoed", "R17.gzip-request", "R17.deflate-request", "X.own-answers"]],
  ["all-outputs", ["R9.subset", "R9.order", "B.non-utf8", "B3.per-output", "B3.listed"]],
  ["wraps", ["R12.range"]],
  ["server-error", ["R3.faults-are-4xx", "R17.broken-gzip", "GEN.status"]],
  ["stack-trace", ["R3.no-stack-trace"]],
  ["left-over", ["B2.left-over"]],
  ["loses-precision", ["R12.int64", "R12.uint64"]],
  ["advertises", ["R5.advertised-work"]],
];

test.each(BROKEN)("%s fails the checks of its rule and no other", async (defect, ids) => {
  expect(notHeld(await reportOf([defect]))).toEqual(ids);
});

const EXTENSIONS: readonly [Defect, readonly string[]][] = [
  ["keeps-unloaded", ["REPO.unload-load"]],
  ["loads-anything", ["REPO.load-unknown"]],
  ["drops-during-load", ["REPO.reload"]],
  ["plain-stream", ["GEN.stream"]],
  ["no-text-check", ["GEN.bad-request", "GEN.stream-error"]],
];

test.each(EXTENSIONS)("%s fails the checks of its extension and no other", async (defect, ids) => {
  const checks = allChecks.filter(({ id }) => id.startsWith("REPO.") || id.startsWith("GEN."));
  expect(notHeld(await reportOf([defect], checks, true))).toEqual(ids);
});

test("a server without error objects fails every check that provokes an error", async () => {
  const ids = notHeld(await reportOf(["error-shape"]));
  expect(ids).toEqual(expect.arrayContaining(["R3.malformed", "R3.unknown-model", "R10.rank", "R11.count"]));
  expect(ids).not.toContain("R7.minimal");
});

test("a server that answers in JSON what was asked in binary fails the output checks", async () => {
  const ids = notHeld(await reportOf(["json-output"]));
  expect(ids).toEqual(expect.arrayContaining(["B3.request-wide", "B4.header"]));
});

test("a batcher that mixes up its rows is found out", async () => {
  expect(notHeld(await reportOf(["mixes-answers"]))).toContain("X.own-answers");
});

test("a failed check says what was sent and received, and where the rule comes from", async () => {
  const { results } = await reportOf(
    ["no-id"],
    QUICK.filter(({ id }) => id === "R8.id-echoed"),
  );
  const [failed] = results;
  expect(failed).toMatchObject({
    outcome: "fail",
    level: "must",
    reason: 'id: expected "42", got undefined',
  });
  expect(failed?.source).toMatch(/inference_rest\.md/);
  expect(failed?.exchanges?.at(-1)?.sent).toMatch(/POST \/v2\/models\/v2_identity\/infer[\s\S]*"id":"42"/);
  expect(failed?.exchanges?.at(-1)?.received).toMatch(/^200/);
});

test("the headers of a run are sent and never shown", async () => {
  await using server = await startFakeHttp("no-keep-alive");
  const options = {
    url: server.url,
    headers: { authorization: "Bearer secret" },
    timeoutMs: 5000,
    mayWrite: false,
  };
  const { results } = await runSuite(
    options,
    QUICK.filter(({ id }) => id === "X.connection"),
  );
  expect(results[0]).toMatchObject({ outcome: "warn" });
  expect(JSON.stringify(results)).toMatch(/authorization: \*\*\*/);
  expect(JSON.stringify(results)).not.toContain("secret");
});

test("a check that hangs ends with its time", async () => {
  await using server = await startFakeHttp();
  const hangs = { ...QUICK[0]!, run: () => new Promise<void>(() => undefined) };
  const report = await runSuite({ url: server.url, headers: {}, timeoutMs: 100, mayWrite: false }, [hangs]);
  expect(report.results[0]).toMatchObject({ outcome: "fail", reason: "the server did not answer in time" });
});

test("where nothing listens, the suite says so instead of failing every check", async () => {
  const run = runSuite({ url: "http://127.0.0.1:1", headers: {}, timeoutMs: 1000, mayWrite: false });
  await expect(run).rejects.toThrow(/ECONNREFUSED/);
  await using server = await startFakeHttp();
  const half = { url: server.url, grpc: "127.0.0.1:1", headers: {}, timeoutMs: 1000, mayWrite: false };
  await expect(runSuite(half)).rejects.toThrow(/gRPC: .*ECONNREFUSED/);
});
