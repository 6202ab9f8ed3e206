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
    admission.leave(testCall());
    admission.leave(testCall());
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
      admission.leave(testCall());
    });
    admission.leave(testCall());
    await Promise.all(waiting);
    expect(order).toEqual(["first", "second", "plain", "plain too", "late"]);
  });

  it("takes turns between callers, whoever has more waiting", async () => {
    const of = (id: string) => testCall({ principal: { id, role: "user", admin: false } });
    const second = gate(2, 10);
    await second.enter(of("busy"));
    await second.enter(of("other"));
    const turns: string[] = [];
    const both = ["busy", "quiet"].map((id) => second.enter(of(id)).then(() => turns.push(id)));
    second.leave(of("other"));
    await Promise.resolve();
    expect(second.waiting).toBe(1);
    second.leave(of("busy"));
    await Promise.all(both);
    expect(turns).toEqual(["quiet", "busy"]);
  });

  it("takes turns between callers of a model that works on one request at a time", async () => {
    const admission = gate(1, 10);
    const of = (id: string) => testCall({ principal: { id, role: "user", admin: false } });
    await admission.enter(of("busy"));
    const order: string[] = [];
    const waiting = ["busy", "busy", "busy", "quiet", "quiet", "other"].map(async (id) => {
      await admission.enter(of(id));
      order.push(id);
      admission.leave(of(id));
    });
    admission.leave(of("busy"));
    await Promise.all(waiting);
    expect(order).toEqual(["quiet", "other", "busy", "quiet", "busy", "busy"]);
  });

  it("remembers a bounded number of callers", async () => {
    const admission = gate(1, 10);
    const of = (id: string) => testCall({ principal: { id, role: "user", admin: false } });
    for (let each = 0; each < 3000; each++) {
      await admission.enter(of(`caller-${each}`));
      admission.leave(of(`caller-${each}`));
    }
    expect(admission.remembered).toBeLessThanOrEqual(1000);
  });

  it("gives a place in a full queue to a caller who has none", async () => {
    const admission = gate(1, 2);
    const of = (id: string) => testCall({ principal: { id, role: "user", admin: false } });
    await admission.enter(of("greedy"));
    const first = admission.enter(of("greedy"));
    const last = admission.enter(of("greedy"));
    const modest = admission.enter(of("modest"));
    await expect(last).rejects.toMatchObject({ code: "QUEUE_FULL" });
    await expect(admission.enter(of("greedy"))).rejects.toMatchObject({ code: "QUEUE_FULL" });
    admission.leave(of("greedy"));
    await modest;
    admission.leave(of("modest"));
    await first;
  });

  it("refuses at once when the queue is full, and says when to come back", async () => {
    const admission = gate(1, 0);
    await admission.enter(testCall());
    await expect(admission.enter(testCall())).rejects.toMatchObject({
      code: "QUEUE_FULL",
      retryAfterMs: 1000,
    });
    admission.leave(testCall());
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
    admission.leave(testCall());
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
