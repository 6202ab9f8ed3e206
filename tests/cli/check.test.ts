import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkRepository, checkSettings, reportText } from "../../src/cli/check.ts";
import { formatProblem } from "../../src/settings/problems.ts";
import { Files } from "../support/files.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

const linesOf = async (env: Record<string, string> = {}) =>
  (await checkRepository(".", env, files.root)).map((problem) => formatProblem(problem, files.root));

const PLUGIN = (kind: string, keys: string) => `
  const known = ${keys};
  const options = { shape: Object.fromEntries(known.map((key) => [key, {}])), safeParse(value) {
    const keys = Object.keys(value).filter((key) => !known.includes(key));
    if (keys.length === 0) return { success: true, data: value };
    return { success: false, error: { issues: [{ code: "unrecognized_keys", path: [], keys, message: "" }] } };
  } };
  export default { kind: "${kind}", name: "x", options, async load() {} };`;

const addPackage = async (name: string, code: string) => {
  await files.write(`node_modules/${name}/package.json`, {
    name,
    version: "1.0.0",
    type: "module",
    main: "i.js",
  });
  await files.write(`node_modules/${name}/i.js`, code);
};

describe("check", () => {
  it("is silent about a repository in order", async () => {
    await files.write("settings.json", { http_port: 1 });
    await files.write("iris/model-settings.json", {
      implementation: "onnx",
      parameters: { uri: "./m.onnx" },
    });
    await files.write("iris/m.onnx", "");
    const report = await checkSettings(undefined, {}, files.root);
    expect(report.problems).toEqual([]);
    expect(reportText(report, files.root)).toBe("1 model, 0 errors, 0 warnings\n");
  });

  it("leaves addresses, and the options of user code, to those they are for", async () => {
    await files.write("far/model-settings.json", {
      implementation: "remote",
      parameters: { uri: "grpc://127.0.0.1:9001", extra: { timeout: "5s" } },
    });
    await files.write("near/model-settings.json", {
      implementation: "./scorer.ts",
      parameters: { extra: { threshold: 0.5 } },
    });
    await files.write("near/scorer.ts", "export default () => ({ outputs: [] });");
    expect(await linesOf()).toEqual([]);
  });

  it("finds what is wrong in both kinds of file, each with its place", async () => {
    await files.write("settings.json", '{\n  "http_port": "x",\n  "debugg": 1 }');
    await files.write("a/model-settings.json", '{\n  "implementation": "onxx" }');
    await files.write("b/model-settings.json", "{");
    await files.write(
      "c/model-settings.json",
      '{ "implementation": "onnx",\n "parameters": { "extra": { "tread": 1 } } }',
    );
    expect(await linesOf()).toEqual([
      "settings.json:2:3 http_port: expected number, received string",
      'settings.json:3:3 debugg: unknown key; did you mean "debug"?',
      expect.stringMatching(/^a\/model-settings.json:2:3 implementation: .*did you mean "onnx"/),
      expect.stringMatching(/^b\/model-settings.json:1:\d: is not JSON/),
      expect.stringMatching(/^c\/model-settings.json:2:29 parameters.extra.tread: unknown key/),
    ]);
  });

  it("checks the options of a runtime together with those of the adapter it takes", async () => {
    await addPackage("my-llm", PLUGIN("runtime", '["framework", "window"]'));
    await addPackage("my-adapter", PLUGIN("adapter", '["delay"]'));
    const content = { implementation: "my-llm", framework: "my-adapter" };
    const extra = { window: 1, delay: 2, dealy: 3 };
    await files.write("a/model-settings.json", { ...content, parameters: { extra } });
    await files.write("b/model-settings.json", { ...content, framework: "my-adaptr" });
    expect(await linesOf()).toEqual([
      expect.stringMatching(/^a\/.*parameters.extra.dealy: unknown key; did you mean "delay"\?$/),
      expect.stringMatching(/^b\/model-settings.json:1:\d+ framework: There is no adapter 'my-adaptr'/),
    ]);
  });

  it("finds uris that nothing resolves, source options that nobody reads, and files that are not there", async () => {
    const withUri = (uri: string, extra = {}) => ({ implementation: "onnx", parameters: { uri, extra } });
    await files.write("a/model-settings.json", withUri("ftp://host/model.onnx"));
    await files.write("b/model-settings.json", withUri("./", { source: { poll: "5s", regiun: "x" } }));
    await files.write("c/model-settings.json", withUri("./gone.onnx"));
    expect(await linesOf()).toEqual([
      expect.stringMatching(/^a\/.* parameters.uri: No resolver has the scheme 'ftp:'/),
      expect.stringMatching(/^b\/.* parameters.extra.source.regiun: unknown key/),
      `c/model-settings.json:1:40 parameters.uri: there is no ${files.path("c/gone.onnx")}`,
    ]);
  });

  it("says one fault of several versions once", async () => {
    await files.write("n/model-settings.json", { implementation: "nothing-here" });
    await files.write("n/1/x", "");
    await files.write("n/2/x", "");
    expect(await linesOf()).toHaveLength(1);
  });

  it("says who gives a setting that comes from the environment", async () => {
    await files.write("settings.json", { http_port: 1, debug: true });
    const report = await checkSettings(undefined, { CAPSTAN_HTTP_PORT: "2", HOST: "0.0.0.0" }, files.root);
    expect(reportText(report, files.root).split("\n")).toEqual([
      "note: host is from HOST",
      "note: http_port is from CAPSTAN_HTTP_PORT, and not from settings.json:1:2",
      "0 models, 0 errors, 0 warnings",
      "",
    ]);
  });

  it("reports a repository that is not there", async () => {
    expect(await checkRepository("none", {}, files.root)).toMatchObject([{ key: "", severity: "error" }]);
  });
});

describe("capstan check", () => {
  const MAIN = new URL("../../src/cli/main.ts", import.meta.url).pathname;
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [MAIN, "check", ...args], { cwd: files.root }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      (error: { code: number; stdout: string }) => error,
    );

  it("exits 0 with warnings, and 2 with errors", async () => {
    await files.write("my.json", { debugg: true });
    await files.write("iris/model-settings.json", { implementation: "onnx" });
    const fine = await run("--settings", "my.json");
    expect(fine).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("1 model, 0 errors, 1 warning\n"),
    });
    await files.write("bad/model-settings.json", "{");
    const bad = await run(".", "--json");
    expect(bad.code).toBe(2);
    expect(JSON.parse(bad.stdout)).toMatchObject({ models: 2, problems: [{ severity: "error" }] });
  });
});
