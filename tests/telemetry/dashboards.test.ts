import { expect, it } from "vitest";
import { METRICS, restMetrics } from "../../src/telemetry/names.ts";
import { manifest } from "../deploy/manifests.ts";
import { dashboards, queriesOf } from "../support/dashboards.ts";

interface Alerts {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[];
  }[];
}

const OWN = [...Object.values(METRICS), ...Object.values(restMetrics("rest_server"))].map(({ name }) => name);
const KNOWN = new Set(OWN.flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]));

/** What a query asks for: the names in front of a selector or a range, and a name that stands alone. */
const metricsIn = (query: string): string[] =>
  [...query.matchAll(/\b([a-z]\w+)(?=[{[]|\s*(?:==|>)|$)/g)].map(([, name]) => name!);

const isOfProcess = (name: string) => name === "up" || /^(process|nodejs)_/.test(name);

const found = await dashboards();

it.each([...found])("the dashboard %s asks for metrics that there are", (_, dashboard) => {
  const asked = queriesOf(dashboard).flatMap(({ query }) => metricsIn(query));
  expect(asked.length).toBeGreaterThan(5);
  expect(asked.filter((name) => !KNOWN.has(name) && !isOfProcess(name))).toEqual([]);
});

it("the alerts ask for metrics that there are", async () => {
  const { groups } = await manifest<Alerts>("prometheus/alerts.yml");
  for (const { alert, expr } of groups.flatMap(({ rules }) => rules)) {
    const asked = metricsIn(expr.trim());
    expect(asked, alert).not.toEqual([]);
    expect(
      asked.filter((name) => !KNOWN.has(name) && !isOfProcess(name)),
      alert,
    ).toEqual([]);
  }
});

it("fills the variables in", () => {
  for (const dashboard of found.values())
    for (const { query } of queriesOf(dashboard)) expect(query).not.toContain("$");
});
