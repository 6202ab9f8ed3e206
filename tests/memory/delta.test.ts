import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import delta from "../../memory/delta/index.ts";
import { openDelta } from "../../memory/delta/open.ts";
import type { DeltaOptions } from "../../memory/delta/options.ts";
import { Statements } from "../../memory/delta/statements.ts";
import type { MemoryStore, Session, Turn } from "../../src/contracts/index.ts";
import { collect, memoryContract, testCall, testHost } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";
import { Files } from "../support/files.ts";
import { FakeWarehouse } from "./delta-warehouse.ts";

const files = await Files.create();
afterAll(() => files[Symbol.asyncDispose]());

let warehouse: FakeWarehouse;
let journals = 0;
let journal: string;
beforeEach(() => {
  warehouse = new FakeWarehouse();
  journals += 1;
  journal = files.path(`journal-${journals}`);
});

const where = { host: "db.example", port: 443, path: "/sql/1", token: "sesame", table: "main.chats.turns" };
const session: Session = { owner: "ann", id: "talk" };
const turn = (id: string): Turn => ({ id, at: 1, messages: [{ role: "user", content: id }] });
const open = (options: Partial<DeltaOptions> = {}) =>
  openDelta({ ...where, journal, ...options }, warehouse.connect);
const read = (memory: MemoryStore, call = testCall()) => collect(memory.read(session, {}, call));
const left = async () =>
  (await readdir(journal, { recursive: true })).filter((name) => name.endsWith(".json"));

describe("contract, with a warehouse in this process", () => {
  const plugin = { ...delta, open: (options: DeltaOptions) => openDelta(options, warehouse.connect) };
  const options = {
    ...where,
    get journal() {
      return journal;
    },
  };
  for (const { name, run } of memoryContract(plugin, { options })) it(name, run);
});

describe("writing behind", () => {
  it("answers when a turn is in the journal, and empties that when it is in the table", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    warehouse.gate = promise;
    await using memory = await open();
    await memory.append(session, [turn("1")], testCall());
    await memory.append(session, [turn("2")], testCall());
    expect(warehouse.rows).toEqual([]);
    expect(await left()).toHaveLength(2);
    const reading = read(memory);
    resolve();
    expect(await reading).toEqual([turn("1"), turn("2")]);
    expect(await left()).toEqual([]);
  });

  it("tells who waits that the table does not answer, without the token, and tries again", async () => {
    await using memory = await open();
    const log = { ...testCall().log, warn: vi.fn() };
    warehouse.failing = { start: "INSERT", message: "401 for Bearer sesame" };
    await memory.append(session, [turn("1")], testCall({ log }));
    await expect(read(memory)).rejects.toMatchObject({
      code: "UPSTREAM",
      message:
        "The memory in the Delta table main.chats.turns at db.example does not answer: 401 for Bearer ***",
    });
    const told = [expect.objectContaining({ waiting: 1 }), "Turns of conversations wait to be written"];
    expect(log.warn).toHaveBeenCalledWith(...told);
    warehouse.failing = undefined;
    await eventually(() => warehouse.rows.length === 1);
    expect(await read(memory)).toEqual([turn("1")]);
  });

  it("is settled when its turns are in the table, however often that failed", async () => {
    await using memory = await open();
    warehouse.failing = { start: "INSERT", message: "away" };
    await memory.append(session, [turn("1")], testCall());
    const controller = new AbortController();
    const gone = new Error("gone");
    const left = memory.settled!(session, testCall({ signal: controller.signal }));
    const settled = memory.settled!(session, testCall());
    await eventually(() => warehouse.ran.filter((word) => word === "INSERT").length > 1);
    controller.abort(gone);
    await expect(left).rejects.toBe(gone);
    expect(warehouse.rows).toEqual([]);
    warehouse.failing = undefined;
    await settled;
    expect(warehouse.rows).toHaveLength(1);
    await memory.settled!({ owner: "other", id: "talk" }, testCall());
  });

  it("lets a reader leave while it waits", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    warehouse.gate = promise;
    await using memory = await open();
    await memory.append(session, [turn("1")], testCall());
    const aborted = new AbortController();
    const reading = read(memory, testCall({ signal: aborted.signal }));
    const [reason, before] = [new Error("left"), new Error("was never there")];
    aborted.abort(reason);
    await expect(reading).rejects.toBe(reason);
    await expect(read(memory, testCall({ signal: AbortSignal.abort(before) }))).rejects.toBe(before);
    resolve();
    expect(await read(memory)).toEqual([turn("1")]);
  });

  it("writes what comes together as one statement, and more than fits as several", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    warehouse.gate = promise;
    await using memory = await open();
    for (let index = 0; index < 5; index++) {
      const turns = Array.from({ length: 90 }, (_, at) => turn(`${index}.${at}`));
      await memory.append(session, turns, testCall());
    }
    resolve();
    expect(await read(memory)).toHaveLength(450);
    expect(warehouse.ran.filter((word) => word === "INSERT").length).toBeLessThan(5);
  });

  it("tries once more at the end, and keeps in the journal what cannot be written", async () => {
    const memory = await open();
    warehouse.failing = { start: "INSERT", message: "gone" };
    await memory.append(session, [turn("1")], testCall());
    await memory[Symbol.asyncDispose]();
    expect(await left()).toHaveLength(1);
    warehouse.failing = undefined;
    await using again = await open();
    await eventually(() => warehouse.rows.length === 1);
    expect(await read(again)).toEqual([turn("1")]);
    expect(await left()).toEqual([]);
  });

  it("loses no turn of a server that was killed, and has none twice", async () => {
    const child = spawn(
      process.execPath,
      [new URL("delta-killed.ts", import.meta.url).pathname, JSON.stringify({ ...where, journal })],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await left()).toHaveLength(2);
    await using memory = await open();
    expect((await read(memory)).map(({ id }) => id)).toEqual(["before", "after"]);
    await memory.append(session, [turn("before"), turn("new")], testCall());
    expect((await read(memory)).map(({ id }) => id)).toEqual(["before", "after", "new"]);
    expect(await left()).toEqual([]);
  });

  it("goes by a half-written file, and by one that another server has written meanwhile", async () => {
    await using memory = await open();
    await memory.append(session, [turn("1")], testCall());
    const [folder] = await readdir(journal);
    await files.write(`journal-${journals}/${folder}/0001-unfinished`, "[{");
    await using again = await open();
    expect(await read(again)).toEqual([turn("1")]);
  });
});

describe("the session of a warehouse", () => {
  it("is opened when it is needed, kept, and opened anew after a fault", async () => {
    await using memory = await open();
    expect(warehouse.opened).toBe(0);
    await read(memory);
    await read(memory);
    expect(warehouse).toMatchObject({ opened: 1, closed: 0 });
    warehouse.failing = { start: "SELECT", message: "Invalid SessionHandle" };
    await expect(read(memory)).rejects.toThrow(/Invalid SessionHandle/);
    warehouse.failing = { start: "CONNECT", message: "no such host" };
    await expect(read(memory)).rejects.toThrow(/no such host/);
    warehouse.failing = undefined;
    await read(memory);
    expect(warehouse).toMatchObject({ opened: 2, closed: 1 });
    expect(warehouse.ran.filter((word) => word === "CREATE")).toHaveLength(1);
  });

  it("needs no right to create a table that is there, and says why where it is not", async () => {
    await using memory = await open();
    warehouse.failing = { start: "CREATE", message: "no right to create" };
    await read(memory);
    expect(warehouse.ran).toEqual(["CREATE", "DESCRIBE", "SELECT"]);
    await using other = await open();
    warehouse.failing = { start: "", message: "no such schema" };
    await expect(read(other)).rejects.toThrow(/no such schema/);
  });

  it("clears again what another writer was at, a few times", async () => {
    await using memory = await open();
    warehouse.failing = { start: "DELETE", message: "[DELTA_CONCURRENT_DELETE_READ] again" };
    await expect(memory.clear(session, testCall())).rejects.toThrow(/DELTA_CONCURRENT/);
    expect(warehouse.ran.filter((word) => word === "DELETE")).toHaveLength(5);
    warehouse.failing = { start: "DELETE", message: "no right to delete" };
    await expect(memory.clear(session, testCall())).rejects.toThrow(/no right/);
    expect(warehouse.ran.filter((word) => word === "DELETE")).toHaveLength(6);
  });
});

it("writes its statements with parameters, and its numbers as BIGINT", () => {
  const statements = new Statements("main.chats.turns");
  expect(statements.create().sql).toBe(
    "CREATE TABLE IF NOT EXISTS `main`.`chats`.`turns` (owner STRING, session_id STRING, turn_id STRING, seq BIGINT, said_at BIGINT, messages STRING) USING DELTA",
  );
  const row = { owner: "o", session_id: "'; --", turn_id: "t", seq: 1, said_at: 2, messages: "[]" };
  expect(statements.insert([row])).toEqual({
    sql: "INSERT INTO `main`.`chats`.`turns` (owner, session_id, turn_id, seq, said_at, messages) SELECT owner, session_id, turn_id, seq, said_at, messages FROM (SELECT inline(from_json(:rows, 'ARRAY<STRUCT<owner:STRING,session_id:STRING,turn_id:STRING,seq:BIGINT,said_at:BIGINT,messages:STRING>>')))",
    parameters: { rows: JSON.stringify([row]) },
  });
  expect(statements.select("o", "s", 3)).toEqual({
    sql: "SELECT turn_id, said_at, messages FROM (SELECT turn_id, seq, said_at, messages, ROW_NUMBER() OVER (PARTITION BY turn_id ORDER BY seq) AS copy FROM `main`.`chats`.`turns` WHERE owner = :owner AND session_id = :session) WHERE copy = 1 ORDER BY seq DESC LIMIT 3",
    parameters: { owner: "o", session: "s" },
  });
});

it.each([
  [{ table: "a.b.c.d" }, "table"],
  [{ table: "turns; DROP TABLE x" }, "table"],
  [{ table: "" }, "table"],
  [{ host: "https://db.example/x" }, "host"],
  [{ port: 0 }, "port"],
  [{ token: "" }, "token"],
  [{ path: undefined }, "path"],
])("refuses %j", (option, key) => {
  const result = delta.options.safeParse({ ...where, ...option });
  expect(result).toMatchObject({ success: false, error: { issues: [{ path: [key] }] } });
});

describe("Databricks' driver", () => {
  it("does not send the token to a server whose certificate nobody vouches for, nor without one", async () => {
    const { createServer } = await import("node:https");
    const { readFile } = await import("node:fs/promises");
    const certificates = new URL("../support/certificates/", import.meta.url);
    const seen: unknown[] = [];
    const [cert, key] = await Promise.all(
      ["server.pem", "server-key.pem"].map((name) => readFile(new URL(name, certificates))),
    );
    const server = createServer({ cert, key }, (request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(401).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    await using memory = await delta.open({ ...where, host: "127.0.0.1", port, journal }, testHost());
    await expect(read(memory)).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringMatching(/certificate/),
    });
    expect(seen).toEqual([]);
    server.closeAllConnections();
    server.close();
  });
});
