import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { CapstanError, Located } from "../../src/contracts/index.ts";
import { ArtifactCache } from "../../src/host/cache/artifact-cache.ts";
import { type Candidate, onlyModel } from "../../src/host/repository.ts";
import { DesiredFile } from "../../src/host/sources/desired.ts";
import { Sources } from "../../src/host/sources/sources.ts";
import type { IndexEntry } from "../../src/host/types.ts";
import { testCall } from "../../src/testing/index.ts";
import { FakeS3 } from "../resolvers/support/fake-s3.ts";
import { FakeUnityCatalog } from "../resolvers/support/fake-unity-catalog.ts";
import { TestRegistry } from "../support/registry.ts";
import { serve, TestRepository } from "../support/server.ts";

let registry: TestRegistry;
let root: string;
beforeEach(async () => {
  registry = await TestRegistry.start();
  root = await mkdtemp(join(tmpdir(), "capstan-replicas-"));
});
afterEach(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

const { log } = testCall();

/** A server's view of one repository; `poll` "0ms" lets it look only when it is told to. */
async function replica() {
  const cache = new ArtifactCache(root, 1e9, log);
  const desired = new DesiredFile(root, "repository");
  const sources = new Sources({ cache, desired, log, changed() {} });
  const settings = registry.settings("m", { source: { poll: "0ms" } });
  const scan = () => onlyModel(settings, root);
  const versionNow = async () => (await sources.apply(await scan()))[0]?.version;
  return {
    sources,
    desired,
    versionNow,
    look: () => sources.look({ model: "m" }),
    [Symbol.asyncDispose]: () => sources[Symbol.asyncDispose](),
  };
}

async function locatedNow({ sources }: { sources: Sources }): Promise<Located> {
  const [found] = await sources.apply(
    await onlyModel(registry.settings("m", { source: { poll: "0ms" } }), root),
  );
  return found!.located!;
}

describe("replicas with the same decisions", () => {
  it("do not return to what was rolled back because another saw the alias move first", async () => {
    await using early = await replica();
    await using late = await replica();
    const to = await locatedNow(early);
    await late.versionNow();
    registry.aliases.champion = "2";
    await Promise.all([early.look(), late.look()]);
    const { revision: from } = await locatedNow(early);
    await early.desired.write("m", { rollback: { from, to } });
    expect([await early.versionNow(), await late.versionNow()]).toEqual(["1", "1"]);
    registry.aliases.champion = "3";
    await early.look();
    expect(await early.versionNow()).toBe("3");
    expect(await late.versionNow()).toBe("3");
    registry.aliases.champion = "2";
    await Promise.all([early.look(), late.look()]);
    expect([await early.versionNow(), await late.versionNow()]).toEqual(["2", "2"]);
  });

  it("keep a pin that is made while the alias is seen to move", async () => {
    await using one = await replica();
    const to = await locatedNow(one);
    registry.aliases.champion = "2";
    await one.look();
    const { revision: from } = await locatedNow(one);
    await one.desired.write("m", { rollback: { from, to } });
    registry.aliases.champion = "3";
    await one.look();
    const scanned = one.versionNow();
    await one.desired.write("m", { pin: to });
    await scanned;
    expect((await one.desired.read()).m).toEqual({ pin: to });
  });
});

it("a rollback that is over is followed while that cannot be written down, and written down later", async () => {
  await using one = await replica();
  const to = await locatedNow(one);
  registry.aliases.champion = "2";
  await one.look();
  const { revision: from } = await locatedNow(one);
  await one.desired.write("m", { rollback: { from, to } });
  registry.aliases.champion = "3";
  await one.look();
  const away = vi.spyOn(one.desired, "latest").mockRejectedValue(new Error("away"));
  expect(await one.versionNow()).toBe("3");
  away.mockRestore();
  expect(await one.versionNow()).toBe("3");
  expect((await one.desired.read()).m?.rollback?.ended).toEqual(expect.any(String));
});

it("a look is found while a scan is under way", async () => {
  await using one = await replica();
  await one.versionNow();
  const scanning = one.versionNow();
  expect(await one.look()).toBe(true);
  await scanning;
});

it("a registry that is slow to answer holds up nothing, and is followed when it does", async () => {
  const cache = new ArtifactCache(root, 1e9, log);
  const desired = new DesiredFile(root, "repository");
  const { promise: told, resolve: changed } = Promise.withResolvers<void>();
  await using sources = new Sources({ cache, desired, log, changed, patienceMs: 20 });
  const scan = () => onlyModel(registry.settings("m", { source: { poll: "0ms" } }), root);
  registry.delay = 200;
  const [waiting] = await sources.apply(await scan());
  expect(waiting?.error).toMatchObject({
    code: "NOT_READY",
    message: expect.stringContaining("not answered yet"),
  });
  await told;
  const [found] = await sources.apply(await scan());
  expect(found).toMatchObject({ version: "1", located: { version: "1" } });
  await cache.remember(found!.sourceKey!, found!.located!);
  await using restarted = new Sources({ cache, desired, log, changed() {}, patienceMs: 20 });
  const [kept] = await restarted.apply(await scan());
  expect(kept).toMatchObject({ version: "1", note: expect.stringContaining("not answered yet") });
});

describe("a canary without an alias to go by", () => {
  const canary = { alias: "challenger", weight: 50 };
  const faultOf = async (uri: string): Promise<CapstanError | undefined> => {
    const [found] = await onlyModel(
      { name: "m", implementation: "onnx", parameters: { uri, extra: { canary } } },
      root,
    );
    return (found as Candidate).error;
  };

  it.each(["models:/m/3", "./model.onnx", "https://host/model.onnx"])(
    "is a fault of the settings: %s",
    async (uri) => {
      expect((await faultOf(uri))?.message).toMatch(/canary: .*names no alias/);
      expect(await faultOf("models:/m@champion")).toBeUndefined();
    },
  );

  it.each([
    [
      { uri: "models:/m@champion", extra: { canary: { alias: "champion", weight: 5 } } },
      /alias of .* itself/,
    ],
    [{ uri: "models:/m@champion", version: "1", extra: { canary } }, /parameters.version "1".* leave it out/],
  ])("is one also where both would be the same: %j", async (parameters, message) => {
    const [found] = await onlyModel({ name: "m", implementation: "onnx", parameters }, root);
    expect((found as Candidate).error?.message).toMatch(message);
  });

  it("stops no other model", async () => {
    await using repository = await TestRepository.create();
    const { parameters, ...settings } = registry.settings("m", { canary });
    await repository.write("m", { ...settings, parameters: { ...parameters, uri: "models:/m/1" } });
    await repository.addSample("iris");
    await using server = await serve(repository.root, { readiness: "settled" });
    const { body } = await server.post("/v2/repository/index");
    const states = (body as IndexEntry[]).map(({ name, state }) => [name, state]);
    expect(states).toEqual([
      ["iris", "READY"],
      ["m", "UNAVAILABLE"],
    ]);
  });
});

it("a rollback waits for a registry that has never answered", async () => {
  registry.isDown = true;
  await using repository = await TestRepository.create();
  await repository.write("m", registry.settings("m"));
  await using server = await serve(repository.root, { readiness: "settled" });
  expect(await server.post("/v2/models/m/rollback")).toEqual({
    status: 503,
    body: { error: expect.stringMatching(/^Model 'm' is not ready: .* answer/) },
  });
});

describe("what is known of a source", () => {
  /** What is found of a model whose artifact is at `uri`, where `cache` remembers what served. */
  async function found(cache: ArtifactCache, uri: string, source: object): Promise<Candidate> {
    await using sources = new Sources({ cache, desired: new DesiredFile(root, "r"), log, changed() {} });
    const parameters = { uri, extra: { source: { poll: "0ms", ...source } } };
    const [candidate] = await sources.apply(
      await onlyModel({ name: "m", implementation: "onnx", parameters }, root),
    );
    return candidate!;
  }

  it("is not known of the bucket of that name at another endpoint", async () => {
    await using store = await FakeS3.start();
    store.put("m/model.onnx", "weights");
    const cache = new ArtifactCache(root, 1e9, log);
    const options = { ...store.options, settle: "0" };
    const here = await found(cache, "s3://models/m", options);
    await cache.remember(here.sourceKey!, here.located!);
    const elsewhere = await found(cache, "s3://models/m", { ...options, endpoint: "http://127.0.0.1:1" });
    expect(elsewhere.located).toBeUndefined();
    expect(elsewhere.error).toMatchObject({ code: "UPSTREAM" });
  });

  it("serves beside what the registry says: that it refuses, that it has it not, that it is not ready", async () => {
    await using catalog = await FakeUnityCatalog.start();
    const uri = "uc://main.ml.iris@champion";
    const cache = new ArtifactCache(root, 1e9, log);
    const source = { registry: catalog.registry, token: "t" };
    catalog.databricks = true;
    catalog.versions = [{ version: 1, storage_location: "s3://bucket/1" }];
    catalog.aliases.champion = 1;
    const served = await found(cache, uri, source);
    await cache.remember(served.sourceKey!, served.located!);
    const note = async () => (await found(cache, uri, source)).note;
    catalog.versions = [{ version: 1, status: "PENDING_REGISTRATION", storage_location: "s3://bucket/1" }];
    expect(await note()).toMatch(
      /^what the registry names is not ready: Version 1 of .* is PENDING_REGISTRATION/,
    );
    catalog.aliases = {};
    expect(await note()).toMatch(/^the registry no longer has it: /);
    catalog.tokens = ["other"];
    expect(await note()).toMatch(/^the registry was asked in vain: .* answered 401/);
  });
});
