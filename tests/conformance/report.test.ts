import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { updateDocument } from "../../src/conformance/matrix.ts";
import { renderJson } from "../../src/conformance/report/json.ts";
import { renderJunit } from "../../src/conformance/report/junit.ts";
import { renderFaults, renderMatrix } from "../../src/conformance/report/matrix.ts";
import { countOutcomes, exitCodeOf } from "../../src/conformance/report/summary.ts";
import { renderTable } from "../../src/conformance/report/table.ts";
import type { Outcome, Report, Result } from "../../src/conformance/types.ts";

function result(id: string, outcome: Outcome, reason?: string): Result {
  const level = outcome === "warn" ? "should" : "must";
  const exchanges = [{ sent: 'POST /x\n{"a": "<b>"}', received: "200 \u0001]]>" }];
  const why = reason === undefined ? {} : { reason, exchanges };
  return {
    id,
    level,
    title: `rule ${id}`,
    source: "A document: a section",
    outcome,
    milliseconds: 5,
    ...why,
  };
}

const REPORT: Report = {
  url: "http://127.0.0.1:1",
  server: { name: "fake", version: "2" },
  model: "m",
  results: [
    result("R1.a", "pass"),
    result("R2.b", "fail", 'expected "1" | got <2>'),
    result("R3.c", "warn", "rather not"),
    result("B1.d", "not-applicable", "no binary"),
  ],
};

const only = (...results: Result[]): Report => ({ ...REPORT, results });

test("exit codes: a failed MUST is 1, a SHOULD only when strict, what was not tried never", () => {
  expect(exitCodeOf(REPORT, false)).toBe(1);
  const warning = only(result("R3.c", "warn", "rather not"));
  expect([exitCodeOf(warning, false), exitCodeOf(warning, true)]).toEqual([0, 1]);
  expect(exitCodeOf(only(result("B1.d", "not-applicable", "no binary")), true)).toBe(0);
});

test("the table has a line a check, the reason, and for a failure its source and what was sent", () => {
  const table = renderTable(REPORT);
  expect(table).toContain("fake 2 at http://127.0.0.1:1, model m");
  expect(table).toMatch(/pass {2}MUST {3}R1\.a +rule R1\.a/);
  expect(table).toMatch(/FAIL {2}MUST {3}R2\.b[\s\S]*expected "1"[\s\S]*source: A document[\s\S]*POST \/x/);
  expect(table).toMatch(/n\/a {3}MUST {3}B1\.d[\s\S]*no binary/);
  expect(table).toContain("1 passed, 1 failed, 1 warnings");
});

test("JSON carries every result and the counts", () => {
  const parsed: unknown = JSON.parse(renderJson(REPORT));
  expect(parsed).toMatchObject({ server: { name: "fake" }, summary: countOutcomes(REPORT.results) });
  expect(parsed).toHaveProperty("results.length", 4);
});

test("JUnit is well-formed: escaped, without control characters, not applicable is skipped", () => {
  const xml = renderJunit(REPORT, false);
  expect(xml).toContain('<testsuites tests="4" failures="1" errors="0" skipped="1" time="0.020">');
  expect(xml).toContain('<failure message="expected &quot;1&quot; | got &lt;2&gt;">');
  expect(xml).toContain('<skipped message="no binary"/>');
  expect(xml).toContain("200 ?]]&gt;");
  expect(renderJunit(REPORT, true)).toContain('failures="2"');
});

test("the matrix has a row a check and a column a server; a check one server lacks is empty", () => {
  const other = only(result("R1.a", "fail", "no"), result("Z.new", "pass"));
  const table = renderMatrix([
    { heading: "One", report: REPORT },
    { heading: "Two", report: other },
  ]);
  expect(table).toContain("| R1.a | MUST | rule R1.a | pass | **FAIL** |");
  expect(table).toContain("| R2.b | MUST | rule R2.b | **FAIL** |  |");
  expect(table).toContain("| Z.new | MUST | rule Z.new |  | pass |");
  expect(table).toContain("1 pass, 1 fail, 1 warn, 1 n/a");
});

test("differences are listed server by server", () => {
  const faults = renderFaults([{ heading: "One", report: REPORT }]);
  expect(faults).toContain('- R2.b (fail): `expected "1" \\| got <2>`');
  expect(renderFaults([{ heading: "Two", report: only(result("R1.a", "pass")) }])).toContain(
    "Every applicable",
  );
});

test("the document keeps its text and gets the tables", async () => {
  const file = path.join(tmpdir(), `conformance-${process.pid}.md`);
  await writeFile(
    file,
    "# Title\n<!-- results -->old<!-- /results -->\nmiddle\n<!-- differences --><!-- /differences -->\n",
  );
  await updateDocument(file, [{ heading: "One", report: REPORT }]);
  const text = await readFile(file, "utf8");
  expect(text).toMatch(/^# Title\n<!-- results -->\n\| check [\s\S]*<!-- \/results -->\nmiddle\n/);
  expect(text).not.toContain("old");
  await writeFile(file, "nothing to replace");
  await expect(updateDocument(file, [])).rejects.toThrow(/has no <!-- results -->/);
});
