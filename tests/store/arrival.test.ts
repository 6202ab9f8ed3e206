import { expect, it, vi } from "vitest";
import { Arrival } from "../../src/store/arrival.ts";
import { isUnreachable } from "../../src/store/unreachable.ts";

const AWAITED = { database: "postgres://h/n", meanwhile: "nothing is kept" };
const coded = (code: string) => Object.assign(new Error(`failed with ${code}`), { code });

function logged() {
  const said: string[] = [];
  const say = (level: string) => (_: object, message: string) => void said.push(`${level}: ${message}`);
  return { said, log: { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") } };
}

it.each<[string, unknown, boolean]>([
  ...["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNRESET", "57P03"].map(
    (code): [string, unknown, boolean] => [code, coded(code), true],
  ),
  // Wrong password, no such database, no such table.
  ...["28P01", "3D000", "42P01"].map((code): [string, unknown, boolean] => [code, coded(code), false]),
  ["both addresses of a name", new AggregateError([coded("ECONNREFUSED")]), true],
  ["what it is the cause of", new Error("no decisions", { cause: coded("ECONNREFUSED") }), true],
  ["a time-out of the driver", new Error("timeout exceeded when trying to connect"), true],
  ["anything else", "ECONNREFUSED", false],
])("whether a database cannot be reached: %s", (_, error, expected) => {
  expect(isUnreachable(error)).toBe(expected);
});

it("does its work at once where the database is", async () => {
  const { said, log } = logged();
  await using arrival = new Arrival(AWAITED, log);
  const work = vi.fn(async () => {});
  await arrival.first(work);
  expect([work.mock.calls.length, arrival.isHere, await arrival.whenHere(), said]).toEqual([
    1,
    true,
    true,
    [],
  ]);
});

it("puts its work off, in order, until the database can be reached, and says so once", async () => {
  const { said, log } = logged();
  await using arrival = new Arrival(AWAITED, log);
  const done: string[] = [];
  const faults = [coded("ECONNREFUSED"), coded("57P03"), coded("28P01"), coded("28P01")];
  await arrival.first(async () => {
    const fault = faults.shift();
    if (fault) throw fault;
    done.push("schema");
  });
  await arrival.first(async () => void done.push("key"));
  expect([arrival.isHere, done]).toEqual([false, []]);
  expect(await arrival.whenHere()).toBe(true);
  expect([arrival.isHere, done]).toEqual([true, ["schema", "key"]]);
  await arrival.first(async () => void done.push("more"));
  expect(done).toEqual(["schema", "key", "more"]);
  expect(said).toEqual([
    "warn: the database cannot be reached, and is waited for: nothing is kept",
    "error: the database answers, and cannot be used",
    "info: the database is here",
  ]);
});

it("waits for no database that is a wrong one", async () => {
  await using arrival = new Arrival(AWAITED, logged().log);
  await expect(arrival.first(() => Promise.reject(coded("28P01")))).rejects.toThrow("28P01");
});

it("waits no longer once it is closed", async () => {
  const { said, log } = logged();
  const arrival = new Arrival(AWAITED, log);
  await arrival.first(() => Promise.reject(coded("ECONNREFUSED")));
  const here = arrival.whenHere();
  await arrival[Symbol.asyncDispose]();
  expect([await here, said.length]).toEqual([false, 1]);
});
