import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serve, TestRepository, type TestServer } from "../support/server.ts";
import { ROOT } from "../support/source-files.ts";
import { DEPLOY, uselessVariables } from "./manifests.ts";

const run = promisify(execFile);
const HEALTHCHECK = path.join(DEPLOY, "healthcheck.js");
const packageFile = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8")) as {
  readonly bin: { readonly capstan: string };
  readonly files: readonly string[];
  readonly engines: { readonly node: string };
};

interface Instruction {
  readonly name: string;
  readonly value: string;
}

/** Instructions of each stage of the Dockerfile. */
function stages(): Instruction[][] {
  const text = readFileSync(path.join(DEPLOY, "Dockerfile"), "utf8");
  const lines = text.replace(/^#.*\n/gm, "").replace(/\\\n\s*/g, " ");
  const found: Instruction[][] = [];
  for (const line of lines.split("\n").filter((each) => each.trim() !== "")) {
    const [, name, value] = /^([A-Z]+) (.*)$/.exec(line)!;
    if (name === "FROM") found.push([]);
    found.at(-1)!.push({ name: name!, value: value! });
  }
  return found;
}

const [build, , final] = stages() as [Instruction[], Instruction[], Instruction[]];
const lastStage = (name: string) => final.find((each) => each.name === name)?.value ?? "";
const listOf = (text: string) => JSON.parse(text.slice(text.indexOf("["))) as string[];

describe("the Dockerfile", () => {
  it("takes Node as package.json asks for, without the build's tools", () => {
    const major = /\d+/.exec(packageFile.engines.node)![0];
    const images = stages().map(([from]) => from!.value.split(" ")[0]);
    expect(new Set(images)).toEqual(new Set([`node:${major}-bookworm-slim`]));
    expect(final.some(({ name }) => name === "RUN" && /npm|apt/.test(name))).toBe(false);
  });

  it("copies files that are there, and from stages that are there", () => {
    const names = stages().map(([from]) => / AS (\w+)$/.exec(from!.value)?.[1]);
    const copies = stages()
      .flat()
      .filter(({ name }) => name === "COPY");
    for (const { value } of copies) {
      const stage = /^--from=(\w+) /.exec(value)?.[1];
      if (stage !== undefined) expect(names).toContain(stage);
    }
    const manifests = build
      .find(({ name }) => name === "COPY")!
      .value.split(" ")
      .slice(0, -1);
    expect(manifests.filter((file) => !existsSync(path.join(ROOT, file)))).toEqual([]);
  });

  it("runs as a user that is not root, by number", () => {
    expect(lastStage("USER")).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  it("starts Node as the process that gets the signals, with the program of the package", () => {
    const entrypoint = listOf(lastStage("ENTRYPOINT"));
    expect(entrypoint).toEqual(["node", `/opt/capstan/node_modules/capstan/${packageFile.bin.capstan}`]);
    expect(listOf(lastStage("CMD"))).toEqual(["start"]);
    expect(lastStage("STOPSIGNAL")).toBe("SIGTERM");
  });

  it("checks its health by a file that the package brings", () => {
    const [program, file] = listOf(lastStage("HEALTHCHECK"));
    expect(program).toBe("node");
    expect(file).toBe(`/opt/capstan/node_modules/capstan/${path.relative(ROOT, HEALTHCHECK)}`);
    expect(packageFile.files).toContain("deploy");
  });

  it("sets variables that are settings, and no secret", () => {
    const pairs = lastStage("ENV")
      .split(/\s+/)
      .map((pair) => pair.split("="));
    const { NODE_ENV, ORT_DISABLE_TELEMETRY, ...env } = Object.fromEntries(pairs) as Record<string, string>;
    expect([NODE_ENV, ORT_DISABLE_TELEMETRY]).toEqual(["production", "1"]);
    expect(env.CAPSTAN_HOST).toBe("0.0.0.0");
    expect(uselessVariables(env)).toEqual([]);
    expect(Object.keys(env).filter((name) => /KEY|PASSWORD|SECRET|URL/.test(name))).toEqual([]);
  });

  it("leaves the checkout's own products out", () => {
    const ignored = readFileSync(path.join(DEPLOY, "Dockerfile.dockerignore"), "utf8").split("\n");
    expect(ignored).toEqual(expect.arrayContaining([".git", ".env", "node_modules", "dist"]));
  });
});

describe("the health check of the image", () => {
  let repository: TestRepository;
  let server: TestServer;
  beforeAll(async () => {
    repository = await TestRepository.create();
    await repository.addSample("iris");
    server = await serve(repository.root, { root_path: "/a/prefix" });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await repository[Symbol.asyncDispose]();
  });

  /** The exit code, and what it said. */
  const check = (env: Record<string, string>, ...args: string[]) =>
    run(process.execPath, [HEALTHCHECK, ...args], { env }).then(
      ({ stderr }) => [0, stderr],
      ({ code, stderr }: { code: number; stderr: string }) => [code, stderr],
    );

  it.each(["CAPSTAN", "MLSERVER"])("passes when the server that %s_* describe is ready", async (prefix) => {
    const port = `${server.running.http.port}`;
    const env = { [`${prefix}_HTTP_PORT`]: port, [`${prefix}_ROOT_PATH`]: "/a/prefix" };
    expect(await check(env)).toEqual([0, ""]);
  });

  it("asks the url that it is given", async () => {
    expect(await check({}, `${server.url}/a/prefix/v2/health/live`)).toEqual([0, ""]);
  });

  it("fails with what was answered", async () => {
    const url = `${server.url}/a/prefix/v2/models/nothing`;
    expect(await check({}, url)).toEqual([1, expect.stringMatching(/nothing: 404 .*nothing/)]);
  });

  it("fails where nothing listens", async () => {
    expect(await check({}, "http://127.0.0.1:1/")).toEqual([1, expect.stringContaining("127.0.0.1:1")]);
  });
});
