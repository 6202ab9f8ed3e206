import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import delta from "../../../memory/delta/index.ts";
import type { DeltaOptions } from "../../../memory/delta/options.ts";
import { collect, memoryContract, testCall, testHost } from "../../../src/testing/index.ts";
import { Files } from "../../support/files.ts";
import { addRecall, Talker } from "../../support/recall.ts";
import { serve, TestRepository } from "../../support/server.ts";
import { startWarehouse, type TestWarehouse } from "./peers.ts";

const files = await Files.create();
let warehouse: TestWarehouse;
beforeAll(async () => {
  warehouse = await startWarehouse();
}, 900_000);
afterAll(async () => {
  await warehouse?.[Symbol.asyncDispose]();
  await files[Symbol.asyncDispose]();
});

const options = (more: Partial<DeltaOptions> = {}): DeltaOptions => ({
  ...warehouse.options,
  table: "turns",
  journal: files.path("journal"),
  ...more,
});

describe("contract, with Spark and Delta behind Databricks' driver", () => {
  // Its members are asked for when the warehouse is there.
  const later = { ...delta, open: () => delta.open(options(), testHost()) };
  const given = { host: "h", path: "/p", token: "t", table: "turns" };
  for (const { name, run } of memoryContract(later, { options: given })) it(name, run);
});

it("remembers across a restart of the server", async () => {
  await using repository = await TestRepository.create();
  await addRecall(repository, "recall", "chats");
  const settings = {
    memory: { chats: { store: "delta", ...options({ table: `t${randomUUID().slice(0, 8)}` }) } },
  };
  {
    await using server = await serve(repository.root, settings);
    expect(await new Talker(server, "recall").says("my name is Ann", "one")).toBe("You are Ann");
  }
  await using server = await serve(repository.root, settings);
  expect(await new Talker(server, "recall").says("who am I?", "one")).toBe("You are Ann");
  expect(await new Talker(server, "recall").turns("one")).toHaveLength(2);
});

it.each([
  ["a wrong token", { token: "sesame" }, /401/],
  ["a certificate of nobody", { ca: undefined }, /certificate/],
])("refuses %s, and does not repeat the token", async (_, wrong, message) => {
  await using memory = await delta.open(options(wrong), testHost());
  const error = await collect(memory.read({ owner: "ann", id: "one" }, {}, testCall())).catch(
    (thrown: Error) => thrown,
  );
  expect(error).toMatchObject({ code: "UPSTREAM", message: expect.stringMatching(message) });
  expect(String(error)).not.toContain("sesame");
});
