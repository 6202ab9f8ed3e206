import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ChatRequest } from "../../src/contracts/index.ts";
import { artifactSize } from "../../src/host/artifact-size.ts";
import { openCall } from "../../src/host/call.ts";
import { CountedPlane } from "../../src/host/counted-plane.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { testCall } from "../../src/testing/index.ts";
import { Scrape } from "../support/metrics.ts";
import { type LlmServer, serveLlms } from "../support/scripted-llm.ts";

let llms: LlmServer;
beforeAll(async () => {
  llms = await serveLlms();
});
afterAll(() => llms[Symbol.asyncDispose]());

const asking = (content: string): ChatRequest => ({
  messages: [{ role: "user", content }],
  sampling: {},
  n: 1,
});
const call = () => openCall({ requestId: "r", log: testCall().log });

/** A plane that counts, and what it has counted. */
function counted() {
  const metrics = new Metrics();
  const plane = new CountedPlane(llms.server.running.plane, metrics.llm);
  return { plane, scrape: async () => new Scrape(await metrics.registry.metrics()) };
}

it("counts a reader that wants no more as cancelled", async () => {
  const { plane, scrape } = counted();
  for await (const part of plane.chat("scripted", undefined, asking("slow"), call())) {
    expect(part).toMatchObject({ text: "one" });
    break;
  }
  const found = await scrape();
  expect(found.value("llm_gateway_requests_total", { status: "cancelled" })).toBe(1);
  expect(found.value("llm_gateway_active_requests")).toBe(0);
  expect(found.value("llm_gateway_tokens_generated_total", { model: "scripted" })).toBe(1);
});

it("counts nothing for a stream that nobody reads", async () => {
  const { plane, scrape } = counted();
  plane.chat("scripted", undefined, asking("slow"), call());
  const parts = plane.chat("scripted", undefined, asking("slow"), call())[Symbol.asyncIterator]();
  await parts.return!();
  expect((await scrape()).value("llm_gateway_requests_total")).toBe(0);
});

it("counts a second piece of the same request into the first", async () => {
  const { plane, scrape } = counted();
  const one = call();
  for (let pieces = 0; pieces < 2; pieces++)
    for await (const part of plane.chat("scripted", undefined, asking("slow"), one))
      expect(part.choice).toBe(0);
  const found = await scrape();
  expect(found.value("llm_gateway_requests_total", { status: "success" })).toBe(1);
  expect(found.value("llm_gateway_tokens_generated_total", { model: "scripted" })).toBe(4);
  expect(found.value("llm_gateway_active_requests")).toBe(0);
});

it("names no model that is not there", async () => {
  const { plane, scrape } = counted();
  await expect(plane.embed("nobodys", undefined, ["a"], call())).rejects.toMatchObject({ code: "NOT_FOUND" });
  const found = await scrape();
  expect(found.value("llm_gateway_errors_total", { model: "", code: "NOT_FOUND" })).toBe(1);
  expect(found.text).not.toContain("nobodys");
});

it("measures a file, a folder with what is below it, and nothing that is not there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "capstan-size-"));
  await mkdir(join(folder, "below"));
  await writeFile(join(folder, "a"), "123");
  await writeFile(join(folder, "below", "b"), "4567");
  expect(await artifactSize(join(folder, "a"))).toBe(3);
  expect(await artifactSize(folder)).toBe(7);
  expect(await artifactSize(join(folder, "missing"))).toBeUndefined();
  await rm(folder, { recursive: true });
});
