import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { METRICS, restMetrics } from "../../src/telemetry/names.ts";
import { ROOT } from "../support/source-files.ts";

const ALL = [...Object.values(METRICS), ...Object.values(restMetrics("rest_server"))];

describe("the names of metrics", () => {
  it("are of the form that Prometheus takes, each once, with a help", () => {
    const names = ALL.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { name, help } of ALL) {
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(help, name).not.toBe("");
    }
  });

  it("are all that a server registers besides those of the process", async () => {
    const metrics = new Metrics();
    const none = { generations: 0, failures: new Map<string, number>() };
    metrics.watchUserCode(none);
    metrics.models.watchStates(() => []);
    metrics.models.watchInference(() => []);
    metrics.models.watchServed(() => []);
    metrics.models.watchWorkers(() => []);
    metrics.reloads.watch(
      () => [],
      () => [],
    );
    metrics.llm.watch(
      () => [],
      () => false,
    );
    metrics.records.watchRedis(() => true);
    metrics.records.watchLog(() => ({ written: 0, spooled: 0, lost: 0, pending: 0 }));
    metrics.records.watchCompletions(() => ({ hits: 0, misses: 0, stores: 0, failures: 0 }));
    metrics.records.watchRefusals(new Map());
    const registered = metrics.registry.getMetricsAsArray().map(({ name }) => name);
    const own = registered.filter((name) => !/^(process|nodejs)_/.test(name));
    expect(own.sort()).toEqual(ALL.map(({ name }) => name).sort());
    expect(registered).toEqual(
      expect.arrayContaining(["process_resident_memory_bytes", "nodejs_eventloop_lag_p99_seconds"]),
    );
  });

  it("are all in the documentation", async () => {
    const page = await readFile(join(ROOT, "docs", "operations.md"), "utf8");
    for (const { name } of ALL) expect(page).toContain(`\`${name}\``);
  });
});
