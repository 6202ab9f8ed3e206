import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { runSuite } from "../../../src/conformance/run.ts";
import type { Report } from "../../../src/conformance/types.ts";
import { install, type Peer, start } from "../remote/peers.ts";

const MLSERVER_MODELS = path.join(import.meta.dirname, "../mlserver-models");

beforeAll(async () => {
  await install("triton.sh");
  await install("mlserver.sh");
}, 600_000);

function suite(peer: Peer): Promise<Report> {
  const grpc = peer.grpc.replace("grpc://", "");
  return runSuite({ url: peer.http, grpc, headers: {}, timeoutMs: 15_000, mayWrite: true });
}

function failed({ results }: Report): string[] {
  return results.filter(({ outcome }) => outcome === "fail").map(({ id }) => id);
}

test("Triton, which clients are written against, fails only where it changes values silently", async () => {
  await using triton = await start("triton.sh");
  const report = await suite(triton);
  expect(failed(report)).toEqual(["R12.range", "G7.range"]);
  const untried = report.results.filter(({ outcome }) => outcome === "not-applicable");
  expect(untried.map(({ id }) => id)).toEqual(["R2.newest"]);
  await expect(suite(triton), "it was left as found").resolves.toEqual(
    expect.objectContaining({ model: report.model }),
  );
}, 120_000);

test("MLServer fails the checks of what its users have reported, and passes its own core", async () => {
  await using mlserver = await start("mlserver.sh", MLSERVER_MODELS);
  const ids = failed(await suite(mlserver));
  expect(ids).toEqual(
    expect.arrayContaining(["R3.malformed", "R10.unknown-input", "R12.fraction", "G11.stream"]),
  );
  const core = [
    "R1.live",
    "R1.infer",
    "R6.well-formed",
    "R7.full",
    "R8.id-echoed",
    "R13.complete",
    "G1.infer",
  ];
  expect(ids.filter((id) => core.includes(id))).toEqual([]);
}, 180_000);
