import { describe, expect, it } from "vitest";
import type { Log } from "../../src/contracts/index.ts";
import { openCall, throwIfOver } from "../../src/host/call.ts";

function recorder(): { log: Log; lines: [string, object, string][] } {
  const lines: [string, object, string][] = [];
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push([level, fields, message]);
  return { log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }, lines };
}
const open = (timeoutMs?: number, timeout?: number, header?: string) =>
  openCall({
    requestId: "r-1",
    log: recorder().log,
    timeoutMs,
    parameters: timeout === undefined ? {} : { timeout },
    header: (name) => (name === "x-request-timeout-ms" ? header : undefined),
  });

describe("a call", () => {
  it("ends at the shortest of its deadlines", async () => {
    const call = open(60_000, 5_000, "90000");
    expect(call.deadline).toBeLessThanOrEqual(Date.now() + 5);
    await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
    expect(call.signal.reason).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(() => throwIfOver(call)).toThrow(call.signal.reason);
  });

  it("has no deadline without one, or with one that no timer can hold", () => {
    expect(open(undefined).deadline).toBeUndefined();
    expect(open(2 ** 40).deadline).toBeUndefined();
    expect(open(undefined, undefined, "soon").deadline).toBeUndefined();
    expect(() => throwIfOver(open())).not.toThrow();
  });

  it("is over when its deadline is past, also if no timer could fire", () => {
    const call = { ...open(), signal: new AbortController().signal, deadline: Date.now() - 1 };
    expect(() => throwIfOver(call)).toThrow(/deadline/);
  });

  it("takes the priority of the request before that of the header", () => {
    const options = { requestId: "r", log: recorder().log, header: () => "3" };
    expect(openCall({ ...options, parameters: { priority: 1 } }).priority).toBe(1);
    expect(openCall(options).priority).toBe(3);
  });

  it("is cancelled with the reason", () => {
    const call = open(1000);
    call.cancel("The client left");
    expect(call.signal.reason).toMatchObject({ code: "CANCELLED", message: "The client left" });
  });

  it("keeps its signal and its log when a plugin spreads it to change a field", () => {
    const { log, lines } = recorder();
    const call = openCall({ requestId: "r-3", log });
    const copy = { ...call, deadline: 1 };
    copy.log.info({}, "from the copy");
    call.cancel("left");
    expect(copy.signal.aborted).toBe(true);
    expect(lines).toEqual([["info", { request_id: "r-3" }, "from the copy"]]);
  });

  it("puts its request id on every line", () => {
    const { log, lines } = recorder();
    const call = openCall({ requestId: "r-2", log });
    for (const level of ["debug", "info", "warn", "error"] as const) call.log[level]({ a: 1 }, level);
    expect(lines).toEqual(
      ["debug", "info", "warn", "error"].map((level) => [level, { request_id: "r-2", a: 1 }, level]),
    );
    call.end();
  });
});
