import { describe, expect, it } from "vitest";
import { Generation, type GenerationParts } from "../../src/host/generation.ts";
import type { Candidate } from "../../src/host/repository.ts";
import type { Slot } from "../../src/host/slot.ts";
import { Slots } from "../../src/host/slots.ts";

/** A version that a registry says, and a folder as it is. */
const candidate = (version: string, folderFingerprint: string): Candidate => ({
  key: "m",
  folder: "/m",
  file: "/m/model-settings.json",
  name: "m",
  version,
  problems: [],
  fingerprint: `${folderFingerprint} ${version}`,
  folderFingerprint,
});

function scanned(slots: Slots, found: Candidate): Slot {
  slots.update([found]);
  return slots.all().find(({ present }) => present)!;
}

/** One that serves version 1. */
function serving(): Slots {
  const slots = new Slots(true);
  const slot = scanned(slots, candidate("1", "as it was"));
  const parts = { resources: new AsyncDisposableStack() };
  slot.serve(new Generation(parts as unknown as GenerationParts), slot.candidate.fingerprint);
  return slots;
}

describe("a folder that serves", () => {
  it.each(["1", "2"])("is loaded at once when its registry alone says another: version %s", (version) => {
    const slots = serving();
    const slot = scanned(slots, { ...candidate(version, "as it was"), fingerprint: "another revision" });
    expect([slot.changed, slot.settle()]).toEqual([true, true]);
  });

  it.each(["1", "2"])("is looked at again when its own files are others: version %s", (version) => {
    const slots = serving();
    const slot = scanned(slots, candidate(version, "being written"));
    expect([slot.changed, slot.settle()]).toEqual([true, false]);
    expect(scanned(slots, candidate(version, "written")).settle()).toBe(false);
    expect(scanned(slots, candidate(version, "written")).settle()).toBe(true);
  });
});
