import { describe, expect, it } from "vitest";
import { RunningCalls } from "../../src/host/running.ts";
import { fingerprint, readCredential, seal, unseal } from "../../src/host/streams/credential.ts";
import type { StreamEvent } from "../../src/host/streams/event.ts";
import { BrowserStreams } from "../../src/host/streams/index.ts";
import { ResumableStreams, type StreamWork } from "../../src/host/streams/resumable.ts";
import { Ring } from "../../src/host/streams/ring.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";

const OWNER = { model: "m", credential: "" };
const token = (text: string): StreamEvent => ({ name: "token", data: text });
const failure = (thrown: unknown): StreamEvent => ({ name: "failure", data: String(thrown) });
const never = new AbortController().signal;

/** Tokens without end, until the work is cancelled. */
const endless = (made: { count: number }): StreamWork => ({
  failure,
  async *events({ signal }) {
    for (;;) {
      signal.throwIfAborted();
      made.count += 1;
      yield token("x".repeat(36));
      await new Promise(setImmediate);
    }
  },
});
const short: StreamWork = {
  failure,
  async *events() {
    yield token("a");
    yield { name: "done", data: "{}" };
  },
};

describe("a ring", () => {
  it("gives the events after a number, as long as it has them all", () => {
    const ring = new Ring();
    expect(ring.after(0)).toEqual([]);
    for (const text of ["a", "b", "c"]) ring.add(token(text));
    expect(ring.after(1)?.map(({ number, data }) => [number, data])).toEqual([
      [2, "b"],
      [3, "c"],
    ]);
    expect(ring.after(3)).toEqual([]);
    expect(ring.after(4)).toBeUndefined();
    expect(ring.bytesAfter(2)).toBe(65);
    expect(ring.forget(2, 1000)).toBeUndefined();
    expect(ring.forget(2, 100)).toBe(3);
    expect(ring.after(1)).toBeUndefined();
    expect(ring.after(2)).toHaveLength(1);
    expect(ring.forget(2, 0)).toBeUndefined();
  });
});

describe("resumable streams", () => {
  it("are bounded in number", async () => {
    const streams = new ResumableStreams({ graceMs: 50, maxStreams: 1 });
    const stream = await streams.start("a", OWNER, short);
    expect(await collect(stream.read(0, never))).toHaveLength(2);
    await expect(streams.start("a", OWNER, short)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(streams.start("b", OWNER, short)).rejects.toMatchObject({
      code: "QUEUE_FULL",
      retryAfterMs: 1000,
    });
    await eventually(async () => (await streams.find("a")) === undefined);
    await streams.start("b", OWNER, short);
    await streams.close(1000);
  });

  it("make the work wait for who reads, and forget what was read", async () => {
    const made = { count: 0 };
    const streams = new ResumableStreams({ graceMs: 60_000, maxBytes: 2000 });
    const stream = await streams.start("a", OWNER, endless(made));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(made.count).toBeLessThan(20);
    const stop = new AbortController();
    const read = async () => {
      for await (const { number } of stream.read(0, stop.signal)) if (number === 100) stop.abort("enough");
    };
    await expect(read()).rejects.toBe("enough");
    await expect(collect(stream.read(1, never))).rejects.toMatchObject({ code: "NOT_FOUND" });
    await streams.close(20);
    expect(made.count).toBeLessThan(140);
  });

  it("end as they are told when time is up", async () => {
    const streams = new ResumableStreams({ graceMs: 60_000 });
    const stream = await streams.start("a", OWNER, endless({ count: 0 }));
    const reading = collect(stream.read(0, never));
    await streams.close(50);
    expect((await reading).at(-1)).toMatchObject({
      name: "failure",
      data: expect.stringMatching(/stopping/),
    });
  });

  it("end when their work does, even without a last event", async () => {
    const streams = new ResumableStreams({ graceMs: 60_000 });
    const stream = await streams.start("a", OWNER, {
      failure,
      async *events() {
        yield token("a");
      },
    });
    expect(await collect(stream.read(0, never))).toHaveLength(1);
    expect(stream.isOver(1)).toBe(true);
    await streams.close(0);
  });
});

describe("a credential", () => {
  it("is what the headers say, told apart by its fingerprint", () => {
    const headers: Record<string, string> = { authorization: "a", "x-api-key": "b", cookie: "c" };
    const credential = readCredential((name) => headers[name]);
    expect(credential).toEqual({ authorization: "a", "x-api-key": "b" });
    expect(fingerprint(credential)).toBe(fingerprint({ "x-api-key": "b", authorization: "a" }));
    expect(fingerprint(credential)).not.toBe(fingerprint({}));
  });

  it("is sealed for one secret", () => {
    const sealed = seal("text", "secret");
    expect(unseal(sealed, "secret")).toBe("text");
    expect(() => unseal(sealed, "other")).toThrow();
    expect(seal("text", "secret")).not.toBe(sealed);
  });
});

describe("a url of Redis", () => {
  it.each(["127.0.0.1:6379", "http://redis.test", "nonsense"])("is refused: %s", async (url) => {
    const settings = { redis_url: url, resume_grace: 1, drain_timeout: 1 };
    await expect(BrowserStreams.open(settings, testCall().log, new RunningCalls())).rejects.toMatchObject({
      name: "SettingsError",
      message: expect.stringMatching(/^redis_url: must be redis:\/\/host:port/),
    });
  });
});
