import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adoptDecisions, changeDesired, DesiredFile } from "../../src/host/sources/desired.ts";
import { DesiredTable } from "../../src/records/desired-table.ts";
import { openStore, type Store } from "../../src/store/database.ts";
import { eventually } from "../support/eventually.ts";
import { TestPostgres } from "../support/postgres.ts";
import { TestRegistry } from "../support/registry.ts";
import { serve, TestRepository } from "../support/server.ts";

const folder = await mkdtemp(join(tmpdir(), "capstan-desired-"));
afterAll(() => rm(folder, { recursive: true }));
/** Of a server of its own. */
const here = (name: string = randomUUID()) => ({
  copy: join(folder, `${name}.json`),
  before: new DesiredFile(folder, name),
});
const PINNED = { pin: { version: "2", revision: "r", location: "x" } };

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
    const desired = new DesiredTable(store.database, here());
    expect(await desired.read()).toEqual({});
    await desired.write("m", { wanted: false });
    await desired.write("m", { pin: { version: "2", revision: "r", location: "x" } });
    await desired.write("n", { wanted: true });
    const other = new DesiredTable(store.database, here());
    const expected = { m: { pin: { version: "2", revision: "r", location: "x" } }, n: { wanted: true } };
    expect(await other.read()).toEqual(expected);
    await desired.write("n", {});
    expect(await other.read()).toEqual({ m: expected.m });
  });
});

it("hold while the database is away", async () => {
  const store = await openStore("sqlite::memory:", "/");
  await store.migrate();
  const desired = new DesiredTable(store.database, here());
  await desired.write("m", { wanted: false });
  await desired.read();
  await store[Symbol.asyncDispose]();
  expect(await desired.read()).toEqual({ m: { wanted: false } });
  await expect(desired.write("m", {})).rejects.toThrow();
});

it("hold for a server that starts while the database is away, and none is overwritten", async () => {
  const url = `sqlite:${join(folder, "decided.db")}`;
  const place = here("one");
  {
    await using store = await openStore(url, "/");
    await store.migrate();
    const desired = new DesiredTable(store.database, place);
    await desired.write("m", PINNED);
    await desired.read();
    await place.before.write("m", { wanted: false });
    await place.before.write("n", { wanted: false });
  }
  await using store = await openStore(url, "/");
  const { schema } = store.database;
  await schema.alterTable("desired_state").renameTo("away").execute();
  const desired = new DesiredTable(store.database, place);
  expect(await desired.read()).toEqual({ m: PINNED, n: { wanted: false } });
  const away = { code: "NOT_READY" };
  await expect(changeDesired(desired, "m", () => ({ wanted: true }))).rejects.toMatchObject(away);
  await expect(adoptDecisions(place.before, desired)).rejects.toThrow(/no such table/);
  await schema.alterTable("away").renameTo("desired_state").execute();
  await adoptDecisions(place.before, desired);
  expect(await desired.read()).toEqual({ m: PINNED, n: { wanted: false } });
  expect(await place.before.read()).toEqual({});
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
