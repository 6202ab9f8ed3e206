import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { afterEach, expect, test, vi } from "vitest";
import { command } from "../../src/cli/conformance.ts";
import { startFakeHttp } from "./fake-http.ts";

async function run(...args: string[]): Promise<{ output: string; code: number }> {
  const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  process.exitCode = 0;
  await command().exitOverride().parseAsync(args, { from: "user" });
  const code = Number(process.exitCode);
  process.exitCode = 0;
  return { output: write.mock.calls.map(([text]) => String(text)).join(""), code };
}

afterEach(() => void vi.restoreAllMocks());

test("a good server exits 0, with a table", async () => {
  await using server = await startFakeHttp();
  const { output, code } = await run(server.url);
  expect(output).toMatch(/\d+ passed, 0 failed, 0 warnings/);
  expect(code).toBe(0);
});

test("a bad one exits 1; JSON and JUnit say why", async () => {
  await using server = await startFakeHttp("wraps");
  const junit = path.join(await mkdtemp(path.join(tmpdir(), "conformance-")), "report.xml");
  const { output, code } = await run(`${server.url}/`, "--json", "--junit", junit, "--header", "x-a: b");
  expect(code).toBe(1);
  expect(JSON.parse(output)).toMatchObject({ summary: { fail: 1 }, model: "v2_identity" });
  expect(await readFile(junit, "utf8")).toContain("R12.range");
});

test("a SHOULD counts only with --strict", async () => {
  await using server = await startFakeHttp("server-error");
  expect((await run(server.url)).code).toBe(0);
  expect((await run(server.url, "--strict")).code).toBe(1);
});

test.each([
  [[], /missing required argument 'url'/],
  [["localhost"], /Give an address/],
  [["http://127.0.0.1:1", "--grpc", "nowhere"], /HOST:PORT/],
  [["http://127.0.0.1:1", "--timeout", "0"], /above 0/],
  [["http://127.0.0.1:1", "--header", "x"], /NAME: VALUE/],
])("bad usage is told: %j", async (args, message) => {
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  await expect(run(...args)).rejects.toThrow(message);
});

test("no server at the address is told as such", async () => {
  await expect(run("http://127.0.0.1:1")).rejects.toThrow(/No V2 server answers at http:\/\/127\.0\.0\.1:1/);
});

test("the reference models are ONNX files that load and give their inputs back", async () => {
  vi.spyOn(console, "log").mockReturnValue();
  const folder = await mkdtemp(path.join(tmpdir(), "reference-"));
  await run("--write-reference", folder);
  const session = await InferenceSession.create(path.join(folder, "v2_identity", "model.onnx"));
  expect(session.inputNames).toContain("in_int64");
  expect(session.outputNames).toContain("out_column");
  await session.release();
  const settings = await readFile(path.join(folder, "v2_identity_fp16", "model-settings.json"), "utf8");
  expect(JSON.parse(settings)).toMatchObject({ name: "v2_identity_fp16", implementation: "onnx" });
});
