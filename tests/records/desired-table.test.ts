import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DesiredTable } from "../../src/records/desired-table.ts";
import { openStore, type Store } from "../../src/store/database.ts";
import { eventually } from "../support/eventually.ts";
import { TestPostgres } from "../support/postgres.ts";
import { TestRegistry } from "../support/registry.ts";
import { serve, TestRepository } from "../support/server.ts";

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await TestPostgres.start();
});
afterAll(() => postgres[Symbol.asyncDispose]());

describe.each(["sqlite", "postgres"])("decisions in %s", (kind) => {
  let store: Store;
  beforeAll(async () => {
    store = await openStore(kind === "sqlite" ? "sqlite::memory:" : postgres.url, "/");
    await store.migrate();
  });
  afterAll(() => store[Symbol.asyncDispose]());

  it("are read as they were written, changed and taken back", async () => {
    const desired = new DesiredTable(store.database);
    expect(await desired.read()).toEqual({});
    await desired.write("m", { wanted: false });
    await desired.write("m", { pin: { version: "2", revision: "r", location: "x" } });
    await desired.write("n", { wanted: true });
    const other = new DesiredTable(store.database);
    const expected = { m: { pin: { version: "2", revision: "r", location: "x" } }, n: { wanted: true } };
    expect(await other.read()).toEqual(expected);
    await desired.write("n", {});
    expect(await other.read()).toEqual({ m: expected.m });
  });
});

it("hold while the database is away", async () => {
  const store = await openStore("sqlite::memory:", "/");
  await store.migrate();
  const desired = new DesiredTable(store.database);
  await desired.write("m", { wanted: false });
  await desired.read();
  await store[Symbol.asyncDispose]();
  expect(await desired.read()).toEqual({ m: { wanted: false } });
  await expect(desired.write("m", {})).rejects.toThrow();
});

it("are followed by every replica that shares the database", async () => {
  await using registry = await TestRegistry.start();
  await using repository = await TestRepository.create();
  await repository.write("m", registry.settings("m"));
  const settings = { auth: { database_url: postgres.url }, repository_poll: "50ms" };
  await using one = await serve(repository.root, settings);
  await using two = await serve(repository.root, settings);
  const pinned = await one.post("/v2/models/m/pin", { version: "7" });
  expect(pinned.status).toBe(200);
  await eventually(() => {
    try {
      return two.running.plane.modelReady("m", "7");
    } catch {
      return false;
    }
  });
});

it("that were made before there was a database hold with it, and are taken over once", async () => {
  await using registry = await TestRegistry.start();
  await using repository = await TestRepository.create();
  const cache_dir = repository.path(".cache");
  await repository.write("later", registry.settings("later"));
  const shared = { cache_dir, auth: { database_url: postgres.url } };
  const serving = async (settings: object) => {
    await using server = await serve(repository.root, { cache_dir, ...settings });
    return server.running.repository.index().map(({ version }) => version);
  };
  {
    await using server = await serve(repository.root, { cache_dir });
    expect((await server.post("/v2/models/later/pin", { version: "7" })).status).toBe(200);
  }
  expect(await serving({})).toEqual(["7"]);
  expect(await serving(shared)).toEqual(["7"]);
  {
    await using server = await serve(repository.root, shared);
    expect((await server.post("/v2/models/later/unpin")).status).toBe(200);
  }
  expect(await serving(shared)).toEqual(["1"]);
});
