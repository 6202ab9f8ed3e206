import { describe, expect, it } from "vitest";
import { idAt, Journal, type ModelEvent } from "../../src/host/journal.ts";
import { during, stepOf } from "../../src/host/load-step.ts";
import type { Candidate } from "../../src/host/repository.ts";
import { withoutSecrets } from "../../src/host/secrets.ts";

const candidate = (name: string, version = "1"): Candidate => {
  return { key: name, folder: "/", file: "/f", name, version, problems: [], fingerprint: "" };
};

async function collect(events: AsyncIterable<ModelEvent>, count: number): Promise<ModelEvent[]> {
  const found: ModelEvent[] = [];
  for await (const event of events) if (found.push(event) === count) break;
  return found;
}

describe("the journal of models", () => {
  it("keeps the newest events, with ids that grow and hold the time", () => {
    const journal = new Journal(3);
    const before = Date.now();
    for (const version of ["1", "2", "3", "4"]) journal.announce("ready", candidate("m", version));
    const events = journal.read();
    expect(events.map(({ version }) => version)).toEqual(["2", "3", "4"]);
    const ids = events.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(ids[0]).toBeGreaterThanOrEqual(idAt(before));
    expect(Date.parse(events[0]!.time)).toBeGreaterThanOrEqual(before);
    expect(journal.read({ after: ids[1]! })).toEqual([events[2]]);
    expect(journal.read({ model: "other" })).toEqual([]);
  });

  it("is followed: what is kept, what comes, of one model", async () => {
    const journal = new Journal();
    journal.announce("loading", candidate("a"));
    const seen = collect(journal.follow({ model: "a" }, new AbortController().signal), 2);
    await Promise.resolve();
    journal.announce("ready", candidate("b"));
    journal.announce("ready", candidate("a"));
    expect((await seen).map(({ type, model }) => `${type} ${model}`)).toEqual(["loading a", "ready a"]);
  });

  it("lets its followers go when they leave, and when it is closed", async () => {
    const journal = new Journal();
    const leaving = new AbortController();
    const left = collect(journal.follow({}, leaving.signal), 1);
    const closed = collect(journal.follow({}, new AbortController().signal), 2);
    leaving.abort();
    expect(await left).toEqual([]);
    journal.announce("ready", candidate("m"));
    await journal.close();
    expect(await closed).toHaveLength(1);
  });

  it("keeps no secret of a reason, and no reason without end", () => {
    const journal = new Journal();
    const reason = `https://ann:pa55@host/x?sig=abc&a=1 refused Bearer abcdefgh1jk${".".repeat(5000)}`;
    journal.announce("load_failed", candidate("m"), { reason });
    const [event] = journal.read();
    expect(event!.reason).toMatch(/^https:\/\/host\/x\?sig=\[redacted\]&a=1 refused Bearer \[redacted\]/);
    expect(event!.reason!.length).toBeLessThanOrEqual(2000);
  });
});

describe("what others may read", () => {
  it.each([
    [
      "s3://bucket/key?X-Amz-Signature=ff00&X-Amz-Date=1",
      "s3://bucket/key?X-Amz-Signature=[redacted]&X-Amz-Date=1",
    ],
    ["models:/m@champion does not load", "models:/m@champion does not load"],
    ["mail me@example.org", "mail me@example.org"],
    ["redis://:pw@host:6379/0 is away", "redis://host:6379/0 is away"],
    ["basic authentication is refused", "basic authentication is refused"],
  ])("%s", (text, wanted) => {
    expect(withoutSecrets(text)).toBe(wanted);
  });
});

describe("the step a load failed at", () => {
  it("is the innermost, found through causes; a load's own where nobody said", async () => {
    const fault = new Error("no file");
    const failing = during("cases", () => during("fetch", () => Promise.reject(fault)));
    await expect(failing).rejects.toBe(fault);
    expect(stepOf(new Error("wrapped", { cause: fault }))).toBe("fetch");
    expect(stepOf(new Error("else"))).toBe("load");
    expect(await during("settings", () => 3)).toBe(3);
  });
});
