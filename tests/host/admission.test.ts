import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { CapstanError } from "../../src/contracts/index.ts";
import { Admission } from "../../src/host/admission.ts";
import { testCall } from "../../src/testing/index.ts";

const gate = (max_concurrency: number, max_queue: number, timeout = 0) =>
  new Admission({ max_concurrency, max_queue, timeout });

describe("admission", () => {
  it("lets in as many as may run, and the others in turn", async () => {
    const admission = gate(2, 10);
    await admission.enter(testCall());
    await admission.enter(testCall());
    const order: string[] = [];
    const waiting = ["a", "b"].map((name) => admission.enter(testCall()).then(() => order.push(name)));
    expect(admission.waiting).toBe(2);
    admission.leave();
    admission.leave();
    await Promise.all(waiting);
    expect(order).toEqual(["a", "b"]);
  });

  it("serves the most urgent first, and those alike in order of arrival", async () => {
    const admission = gate(1, 10);
    await admission.enter(testCall());
    const order: string[] = [];
    const waiting = [
      ["late", 9],
      ["plain", undefined],
      ["first", 1],
      ["plain too", undefined],
      ["second", 1],
    ].map(async ([name, priority]) => {
      await admission.enter(testCall({ priority: priority as number | undefined }));
      order.push(String(name));
      admission.leave();
    });
    admission.leave();
    await Promise.all(waiting);
    expect(order).toEqual(["first", "second", "plain", "plain too", "late"]);
  });

  it("refuses at once when the queue is full, and says when to come back", async () => {
    const admission = gate(1, 0);
    await admission.enter(testCall());
    await expect(admission.enter(testCall())).rejects.toMatchObject({
      code: "QUEUE_FULL",
      retryAfterMs: 1000,
    });
    admission.leave();
    await expect(admission.enter(testCall())).resolves.toBeUndefined();
  });

  it("forgets who left, and leaves no listener behind", async () => {
    const admission = gate(1, 2);
    await admission.enter(testCall());
    const leaving = new AbortController();
    const gone = admission.enter(testCall({ signal: leaving.signal }));
    const stays = testCall();
    const next = admission.enter(stays);
    leaving.abort(new CapstanError("CANCELLED", "left"));
    await expect(gone).rejects.toMatchObject({ code: "CANCELLED" });
    expect(admission.waiting).toBe(1);
    admission.leave();
    await next;
    expect(getEventListeners(stays.signal, "abort")).toEqual([]);
    await expect(admission.enter(testCall({ signal: leaving.signal }))).rejects.toMatchObject({
      message: "left",
    });
  });

  it("ends a wait that takes too long", async () => {
    const admission = gate(1, 2, 5);
    await admission.enter(testCall());
    await expect(admission.enter(testCall())).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(admission.waiting).toBe(0);
  });
});
